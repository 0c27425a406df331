/**
 * The pages of the documentation site, in the order of its sidebar, by Diátaxis (https://diataxis.fr):
 * lessons, instructions, facts, background. A page of `docs/` that is not named here is among the
 * explanations; name it where readers look for it.
 */

export interface NavigationGroup {
  readonly title: string;
  /**
   * Markdown files, as paths from the root of the repository, patterns of them, or a folder
   * (`docs/guides/`): the files in it that no group lists, by itself or with a folder in this one, in
   * alphabetical order. A group without pages is not shown.
   */
  readonly pages: readonly string[];
  /** Groups within this one, closed until a reader opens them. */
  readonly groups?: readonly NavigationGroup[];
}

/** Where the generated reference of the entry points is: a page for each, written by `api.ts`. */
export const API_FOLDER = "site/api/";

export const NAVIGATION: readonly NavigationGroup[] = [
  {
    title: "Tutorial",
    pages: ["docs/tutorial*.md"],
  },
  {
    title: "How-to guides",
    pages: [
      "docs/embedding.md",
      "docs/access.md",
      "docs/guides/",
      "docs/senders.md",
      "docs/deployment.md",
      "docs/operations.md",
      "docs/scaling.md",
      "docs/maintenance.md",
      "docs/metrics.md",
      "docs/delegated-download.md",
      "docs/caching.md",
    ],
  },
  {
    title: "Reference",
    pages: [
      "docs/http.md",
      "docs/resumable.md",
      "docs/errors.md",
      "docs/openapi.md",
      "docs/settings.md",
      "docs/cli.md",
      "docs/events.md",
      "docs/s3.md",
      "docs/page.md",
      "docs/client.md",
      "docs/react.md",
      "docs/uppy.md",
      "docs/api.md",
    ],
    groups: [{ title: "Entry points", pages: [API_FOLDER] }],
  },
  {
    title: "Explanation",
    pages: [
      "docs/architecture.md",
      "docs/durability.md",
      "docs/verification.md",
      "docs/deduplication.md",
      "docs/storage.md",
      "docs/comparison.md",
      "docs/faq.md",
      "SECURITY.md",
      "bench/RESULTS.md",
      "docs/explanation/",
      "docs/",
    ],
    groups: [{ title: "Decisions", pages: ["docs/decisions/"] }],
  },
  {
    title: "Project",
    pages: ["examples/README.md", "CONTRIBUTING.md", "CHANGELOG.md"],
  },
];
