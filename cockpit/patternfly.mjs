// Makes patternfly.css: what PatternFly says about the classes that the page has, in the
// version of package-lock.json. Run "npm ci --ignore-scripts && npm run patternfly" after
// the page has got other classes; the result is kept in the repository, so that packages are
// built without the network.

import { readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { PurgeCSS } from "purgecss";

const name = "@patternfly/patternfly";
const parts = ["base/patternfly-variables", "base/patternfly-common", ...["Alert", "Button", "DescriptionList", "Form", "FormControl", "HelperText",
    "Label", "ModalBox", "Switch", "Table", "Table/table-grid", "Tabs", "Title"].map(part => {
    const [dir, file = dir.replace(/(.)([A-Z])/g, "$1-$2").toLowerCase()] = part.split("/");
    return `components/${dir}/${file}`;
})];
const require = createRequire(import.meta.url);
const { version } = JSON.parse(await readFile(require.resolve(`${name}/package.json`)));
const raw = (await Promise.all(parts.map(part => readFile(require.resolve(`${name}/${part}.css`), "utf8")))).join("\n");
// The page's own style is there, too, so that the variables that it uses are kept.
const mark = ".virbr-own";
const here = file => new URL(file, import.meta.url).pathname;
const [purged] = await new PurgeCSS().purge({
    content: ["*.html", "*.js"].map(here),
    css: [{ raw: `${raw}\n${mark} { top: 0 }\n${await readFile(here("virbr.css"), "utf8")}` }],
    variables: true,
    safelist: { // classes of which the page knows a part when it runs
        standard: ["virbr-own", "html", "body", ":root", ...["success", "danger", "warning", "info", "outline", "primary", "secondary", "link"].map(word => `pf-m-${word}`)],
    },
    blocklist: [/theme-(felt|glass|redhat|high-contrast|unified)/],
});
const css = purged.css.slice(0, purged.css.indexOf(mark)).replace(/^\s*\n/gm, "").replace(/[ \t]+$/gm, "");
const out = process.argv[2] ?? here("patternfly.css");
await writeFile(out, `/* ${name} ${version}, MIT licence, Copyright (c) Red Hat, Inc.: made by patternfly.mjs */\n${css}`);
