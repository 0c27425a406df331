/** All that a page can do to make code of a file. The function runs in the browser and uses nothing from around it. */

export const ATTEMPTS = [
  "import map",
  "script",
  "module",
  "import()",
  "style sheet",
  "@import",
  "worker",
  "module worker",
  "shared worker",
  "service worker",
  "service worker by the cache",
  "module service worker",
  "XSLT",
] as const;
export type Attempt = (typeof ATTEMPTS)[number];

/** JavaScript for pages and for every kind of worker, which reports that it ran. */
export const SCRIPT = `
if (globalThis.document) document.documentElement.dataset.ran = "yes";
else if (globalThis.postMessage) postMessage("ran");
globalThis.onconnect = (event) => event.ports[0].postMessage("ran");
`;
export const STYLE = "html { --ran: yes; }";
export const XSLT = `<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:output method="html"/><xsl:template match="/"><html data-ran="yes"><body>transformed</body></html></xsl:template></xsl:stylesheet>`;

/** An XML page that names an XSLT style sheet. */
export function xmlPage(href: string): string {
  return `<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="${href}"?><page/>`;
}

export interface AttemptOptions {
  readonly attempt: Attempt;
  readonly script: string;
  readonly style: string;
  /** The XML page that names the XSLT style sheet; `null` where the site can have none. */
  readonly xml: string | null;
  /** The file is loaded as an image before, so that the browser has a copy of it. */
  readonly isCached: boolean;
}

/** Resolves to whether the file's code had an effect. */
export async function attemptCode({ attempt, script, style, xml, isCached }: AttemptOptions): Promise<boolean> {
  const root = document.documentElement;
  delete root.dataset["ran"];
  const ended = (target: EventTarget): Promise<string> =>
    new Promise((resolve) => {
      for (const name of ["load", "error", "message"]) target.addEventListener(name, () => resolve(name));
      // a style element that the page's policy blocks gets no event in Firefox
      document.addEventListener("securitypolicyviolation", () => resolve("violation"));
    });
  const inserted = async <Kind extends keyof HTMLElementTagNameMap>(
    kind: Kind,
    properties: Partial<HTMLElementTagNameMap[Kind]>,
  ): Promise<HTMLElementTagNameMap[Kind]> => {
    const element = Object.assign(document.createElement(kind), properties);
    const end = ended(element);
    document.head.append(element);
    await end;
    return element;
  };
  const isStyled = (): boolean => getComputedStyle(root).getPropertyValue("--ran").trim() === "yes";
  const registered = async (options: RegistrationOptions): Promise<boolean> => {
    const registration = await navigator.serviceWorker.register(script, options);
    await registration.unregister();
    return true;
  };
  if (isCached) await inserted("img", { src: attempt === "style sheet" || attempt === "@import" ? style : script });
  try {
    switch (attempt) {
      case "import map": {
        const map = document.createElement("script");
        map.type = "importmap";
        map.textContent = JSON.stringify({ imports: { "/named-by-the-map.js": script } });
        document.head.append(map);
        await import(`${location.origin}/named-by-the-map.js`);
        return root.dataset["ran"] === "yes";
      }
      case "script":
        await inserted("script", { src: script });
        return root.dataset["ran"] === "yes";
      case "module":
        await inserted("script", { src: script, type: "module" });
        return root.dataset["ran"] === "yes";
      case "import()":
        await import(script);
        return root.dataset["ran"] === "yes";
      case "style sheet":
        await inserted("link", { href: style, rel: "stylesheet" });
        return isStyled();
      case "@import":
        await inserted("style", { textContent: `@import "${style}";` });
        return isStyled();
      case "worker":
      case "module worker":
        return (await ended(new Worker(script, { type: attempt === "worker" ? "classic" : "module" }))) === "message";
      case "shared worker": {
        const shared = new SharedWorker(script);
        shared.port.start();
        return (await Promise.race([ended(shared), ended(shared.port)])) === "message";
      }
      case "service worker":
        return await registered({ scope: "/uploads/" });
      case "service worker by the cache":
        return await registered({ scope: "/uploads/", updateViaCache: "all" });
      case "module service worker":
        return await registered({ scope: "/uploads/", type: "module" });
      case "XSLT": {
        if (xml === null) return false;
        const frame = document.createElement("iframe");
        frame.src = xml;
        const end = ended(frame);
        document.body.append(frame);
        await end;
        return frame.contentDocument?.documentElement.dataset?.["ran"] === "yes";
      }
      default:
        return false;
    }
  } catch {
    return false;
  }
}
