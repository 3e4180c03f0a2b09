// Cockpit's choice of light and dark: "light", "dark", or "auto" as the system has it. The
// shell keeps it in the browser's storage and tells of changes.

const system = window.matchMedia("(prefers-color-scheme: dark)");
const listeners = [];

/** Whether the page is dark. */
export const dark = () => document.documentElement.classList.contains("pf-v6-theme-dark");

/** Calls changed whenever the page becomes dark or light. */
export const whenThemeChanges = changed => listeners.push(changed);

function choose(style) {
    const chosen = style ?? window.localStorage.getItem("shell:style") ?? "auto";
    const before = dark();
    document.documentElement.classList.toggle("pf-v6-theme-dark", chosen === "dark" || (chosen === "auto" && system.matches));
    if (dark() !== before)
        listeners.forEach(changed => changed());
}

window.addEventListener("storage", event => event.key === "shell:style" && choose());
window.addEventListener("cockpit-style", event => choose(event.detail?.style));
system.addEventListener("change", () => choose());
choose();
