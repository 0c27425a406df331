import type { Body, Meta, State, Uppy } from "@uppy/core";
import Dashboard, { type DashboardOptions } from "@uppy/dashboard";

/** With more files than this, the Dashboard is not drawn for every change. */
const MANY_FILES = 20;
/** Milliseconds between two drawings of the Dashboard while it has many files. */
const REDRAW_INTERVAL_MS = 400;

type PageDashboardOptions<M extends Meta, B extends Body> = DashboardOptions<M, B> & {
  /** Returns another text than Uppy's for a key, or `null`. */
  readonly text: (key: string) => string | null;
};

/**
 * Uppy's Dashboard for many files. Each step of each file changes Uppy's state, for which the
 * Dashboard is laid out and painted as a whole: 100 small files took four times as long as their
 * requests.
 */
export class PageDashboard<M extends Meta, B extends Body> extends Dashboard<M, B> {
  readonly #text: (key: string) => string | null;
  #timer: number | null = null;
  #isStale = false;

  constructor(uppy: Uppy<M, B>, { text, ...options }: PageDashboardOptions<M, B>) {
    super(uppy, options);
    this.#text = text;
  }

  override i18nInit(): void {
    super.i18nInit();
    const translate = this.i18n.bind(this);
    // called in the constructor of the base class, before this class has its fields
    this.i18n = (key, values) => this.#text(key) ?? translate(key, values);
  }

  override update(state: Partial<State<M, B>>): void {
    if (this.#timer !== null) {
      this.#isStale = true;
      return;
    }
    super.update(state);
    if (Object.keys(this.uppy.getState().files).length <= MANY_FILES) return;
    this.#timer = window.setTimeout(() => {
      this.#timer = null;
      if (!this.#isStale) return;
      this.#isStale = false;
      this.update(this.uppy.getState());
    }, REDRAW_INTERVAL_MS);
  }
}
