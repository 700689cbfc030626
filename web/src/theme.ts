// Runs before the first paint (a classic script in the head), so that a chosen theme does not flash
// the other one. Kept apart from the app because that one waits for the page.
const stored = localStorage.getItem("parley.theme");
if (stored === "light" || stored === "dark") document.documentElement.dataset.theme = stored;
