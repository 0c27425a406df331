import { getDroppedFiles } from "@uppy/core/utils";

/** Takes files that are dropped beside the Dashboard, or pasted while something else has the focus. */
export function takeAnywhere(dashboard: HTMLElement, add: (files: File[]) => void): void {
  const isElsewhere = ({ target }: Event): boolean => !(target instanceof Node && dashboard.contains(target));
  const root = document.documentElement;
  document.addEventListener("dragover", (event) => {
    if (!isElsewhere(event) || !bringsFiles(event.dataTransfer)) return;
    event.preventDefault();
    root.classList.add("dragging");
  });
  document.addEventListener("dragleave", ({ relatedTarget }) => {
    if (relatedTarget === null) root.classList.remove("dragging");
  });
  // the Dashboard keeps its own drops to itself, but for the first phase
  document.addEventListener("drop", () => root.classList.remove("dragging"), { capture: true });
  document.addEventListener("drop", (event) => {
    const { dataTransfer } = event;
    if (!isElsewhere(event) || dataTransfer === null || !bringsFiles(dataTransfer)) return;
    event.preventDefault();
    void getDroppedFiles(dataTransfer).then(add);
  });
  document.addEventListener(
    "paste",
    (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length === 0) return;
      // the Dashboard would take them only where it has had the focus
      event.stopImmediatePropagation();
      event.preventDefault();
      add(files);
    },
    { capture: true },
  );
}

function bringsFiles(transfer: DataTransfer | null): boolean {
  return transfer?.types.includes("Files") === true;
}
