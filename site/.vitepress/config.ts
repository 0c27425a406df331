import { globSync } from "node:fs";
import path from "node:path";
import { type DefaultTheme, defineConfig, type Plugin } from "vitepress";
import { Links, slugOf } from "../links.ts";
import { writeForModels } from "../llms.ts";
import { allPages, BASE, HOME, type PageGroup, pageGroups, REPOSITORY, ROOT, urlOf } from "../pages.ts";

/*
 * VitePress over the whole repository, so that pages and pictures stay where readers of the
 * repository find them; `rewrites` gives them their addresses.
 */

const groups = pageGroups();
const sources = new Set([HOME, ...allPages(groups).map(({ source }) => source)]);
const titles = new Map(allPages(groups).map(({ url, title }) => [url, title]));
const links = new Links();

const FOLDERS_WITHOUT_PAGES = ["**/node_modules", "**/dist", "data", "src", "test"];
const others = globSync("**/*.md", { cwd: ROOT, exclude: FOLDERS_WITHOUT_PAGES }).filter((file) => !sources.has(file));

function sidebar(group: PageGroup, isNested = false): DefaultTheme.SidebarItem {
  const { title, pages, groups: nested } = group;
  const items = pages.map(({ title, url }) => ({ text: title, link: url }));
  return {
    text: title,
    items: [...items, ...nested.map((one) => sidebar(one, true))],
    ...(isNested ? { collapsed: true } : {}),
  };
}

/** Pages outside of this folder do not find Vue. While they are rendered, Node finds it: it runs them from here. */
function vueOfSite(): Plugin {
  return {
    name: "vue-of-site",
    enforce: "pre",
    resolveId: (id, _importer, { ssr }) => (ssr && /^vue(?:\/|$)/.test(id) ? { id, external: true } : null),
  };
}

export default defineConfig({
  title: "fixity",
  description: "An upload service that gives every file a permanent, verified link.",
  lang: "en",
  base: BASE,
  srcDir: "..",
  outDir: "dist",
  srcExclude: [...FOLDERS_WITHOUT_PAGES.map((folder) => `${folder}/**`), ...others],
  // `src/settings/config.ts` and others of that name are not the site's
  additionalConfig: false,
  rewrites: (file) => (sources.has(file) ? `${urlOf(file).replace(/\/$/, "/index").slice(1)}.md` : file),
  cleanUrls: true,
  head: [["link", { rel: "icon", type: "image/svg+xml", href: `${BASE}icon.svg` }]],
  markdown: {
    anchor: { slugify: slugOf },
    theme: { light: "github-light-high-contrast", dark: "github-dark" },
    languageAlias: { console: "shellsession", caddyfile: "txt", vcl: "txt" },
    config(md) {
      md.core.ruler.push("links-on-site", ({ tokens, env }) => {
        const { realPath, path: file = realPath } = env as { realPath?: string; path?: string };
        if (file === undefined) return; // a title
        const source = path.relative(ROOT, realPath ?? file);
        for (const { children } of tokens) {
          for (const [index, token] of (children ?? []).entries()) {
            const href = token.type === "link_open" ? token.attrGet("href") : null;
            if (href === null) continue;
            const url = links.onSite(source, href);
            token.attrSet("href", url);
            // readers of the site do not know files
            const text = children?.[index + 1];
            if (text?.content === path.basename(href)) text.content = titles.get(url) ?? text.content;
          }
        }
      });
    },
  },
  themeConfig: {
    logo: "/icon.svg",
    search: {
      provider: "local",
      // what explains a thing comes before its signatures and its history
      options: {
        miniSearch: {
          searchOptions: { boostDocument: (id: string) => (/\/(?:api|decisions)\/|\/changelog/.test(id) ? 0.3 : 1) },
        },
      },
    },
    outline: { level: [2, 3] },
    sidebar: groups.map((group) => sidebar(group)),
    nav: [
      { text: "Guides", link: "/embedding" },
      { text: "Reference", link: "/http" },
      { text: "API", link: "/api" },
    ],
    socialLinks: [{ icon: "github", link: "https://github.com/fixity/fixity" }],
    editLink: { pattern: `${REPOSITORY}:path`, text: "Source of this page" },
    docFooter: { prev: false, next: false },
  },
  vite: {
    // the one of the repository builds the upload page
    configFile: false,
    publicDir: path.join(ROOT, "site/public"),
    plugins: [vueOfSite()],
    build: { chunkSizeWarningLimit: 1000 },
  },
  buildEnd: ({ outDir }) => writeForModels(outDir),
});
