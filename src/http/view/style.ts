/** How the page looks: as the page to upload from does, light and dark. */
export const STYLE = /* css */ `
:root {
  --ground: #f5f6f3;
  --surface: #ffffff;
  --ink: #17201c;
  --quiet: #59665f;
  --line: #dde2dd;
  --edge: #b6c1ba;
  --accent: #0b6e4f;
  --accent-ink: #ffffff;
  --accent-soft: #e6f3ed;
  --check: #e9ece8;
  --shadow: 0 1px 2px rgb(20 40 30 / 6%), 0 4px 16px rgb(20 40 30 / 5%);
  --radius: 14px;
  color-scheme: light dark;
  font: 16px/1.5 system-ui, sans-serif;
  color: var(--ink);
  background: var(--ground);
  accent-color: var(--accent);
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #101412;
    --surface: #181e1b;
    --ink: #e8ede9;
    --quiet: #9daaa3;
    --line: #2b3430;
    --edge: #4a5851;
    --accent: #5bd0a1;
    --accent-ink: #08170f;
    --accent-soft: #1a2f26;
    --check: #222a26;
    --shadow: none;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { margin: 0; }
main {
  display: grid;
  gap: 1.5rem;
  grid-template-columns: minmax(0, 1fr);
  max-width: 52rem;
  margin: 0 auto;
  padding: clamp(1.25rem, 5vw, 3rem) clamp(1rem, 4vw, 1.5rem) 3rem;
}
h1, h2, p, dl, dd { margin: 0; }
header {
  display: grid;
  grid-template-columns: auto minmax(0, 1fr) auto;
  align-items: center;
  gap: 0.9rem;
}
.tile {
  display: grid;
  place-items: center;
  min-width: 3.25rem;
  height: 3.25rem;
  padding: 0 0.4rem;
  overflow: hidden;
  font-size: 0.75rem;
  font-weight: 700;
  letter-spacing: 0.02em;
  color: var(--accent);
  background: var(--accent-soft);
  border-radius: 11px;
}
h1 {
  font-size: clamp(1.2rem, 4vw, 1.6rem);
  line-height: 1.25;
  letter-spacing: -0.02em;
  overflow-wrap: anywhere;
}
header p, footer, .reason { color: var(--quiet); }
.actions {
  display: flex;
  flex-wrap: wrap;
  gap: 0.5rem;
}
.actions a, button {
  padding: 0.45rem 0.9rem;
  font: inherit;
  font-size: 0.9rem;
  font-weight: 500;
  text-align: center;
  text-decoration: none;
  white-space: nowrap;
  color: var(--accent);
  background: var(--accent-soft);
  border: 1px solid transparent;
  border-radius: 9px;
  cursor: pointer;
  transition: background-color 0.15s;
}
.actions a {
  padding: 0.55rem 1.1rem;
  font-size: 1rem;
  background: none;
  border-color: var(--edge);
}
.actions a:hover { background: var(--accent-soft); border-color: var(--accent); }
button { min-width: 5.2rem; }
.actions .download, .actions .download:hover, button:hover {
  color: var(--accent-ink);
  background: var(--accent);
  border-color: var(--accent);
}
.actions .download:hover { text-decoration: underline; text-underline-offset: 3px; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.preview, section {
  overflow: hidden;
  background: var(--surface);
  border: 1px solid var(--line);
  border-radius: var(--radius);
  box-shadow: var(--shadow);
}
.preview { display: grid; place-items: center; margin: 0; }
.preview img, .preview video { display: block; max-width: 100%; max-height: 70vh; }
.preview img {
  min-width: min(2rem, 100%);
  background: repeating-conic-gradient(var(--check) 0 25%, transparent 0 50%) 0 0 / 20px 20px;
}
.preview video { width: 100%; background: #000; }
.preview audio { width: calc(100% - 2rem); margin: 1.25rem 1rem; }
.preview iframe {
  display: block;
  width: 100%;
  height: min(26rem, 60vh);
  border: 0;
}
.reason { padding: 2.25rem 1.25rem; text-align: center; text-wrap: balance; }
section { padding: 0.4rem 1.1rem; }
h2 {
  position: absolute;
  width: 1px;
  height: 1px;
  margin: -1px;
  overflow: hidden;
  clip-path: inset(50%);
  white-space: nowrap;
}
dl > div {
  display: grid;
  grid-template-columns: 6.5rem minmax(0, 1fr) auto;
  align-items: center;
  gap: 0.25rem 1rem;
  min-height: 3.4rem;
  padding: 0.6rem 0;
}
dl > div + div { border-top: 1px solid var(--line); }
dt { font-size: 0.9rem; color: var(--quiet); }
dd { overflow-wrap: anywhere; }
code {
  font: 0.8125rem/1.5 ui-monospace, monospace;
  user-select: all;
}
@media (scripting: enabled) {
  /* who can press a button need not see all that it copies */
  code[data-line] {
    display: block;
    overflow: hidden;
    text-overflow: ellipsis;
    white-space: nowrap;
  }
}
footer { font-size: 0.9rem; text-wrap: pretty; }
.lost { padding: 2.5rem 1.25rem; text-align: center; }
.lost h1 { margin-bottom: 0.5rem; }
@media (max-width: 40rem) {
  header { grid-template-columns: auto minmax(0, 1fr); }
  .actions { grid-column: 1 / -1; }
  .actions a { flex: 1; }
  dl > div { grid-template-columns: minmax(0, 1fr) auto; padding: 0.75rem 0; }
  dt { grid-column: 1 / -1; }
  .tile { align-self: start; }
  button { min-height: 2.5rem; }
}
@media (forced-colors: active) {
  .tile, .actions a, button { border: 1px solid; }
}
@media (prefers-reduced-motion: reduce) {
  * { transition: none !important; }
}
`;
