/* Search and filters for the table of all claims. Without scripts the whole table stays readable. */
document.addEventListener("DOMContentLoaded", () => {
  const table = document.querySelector("table.register");
  if (!table) return;
  const rows = [...table.tBodies[0].rows];
  const text = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));

  const form = document.createElement("form");
  form.className = "register-filters";
  const search = Object.assign(document.createElement("input"), { type: "search", placeholder: "Search all claims" });
  search.setAttribute("aria-label", "Search all claims");
  form.append(search);

  const selects = ["paper", "verdict", "kind", "strength", "speaker"].map((name) => {
    const select = document.createElement("select");
    select.setAttribute("aria-label", name);
    const values = [...new Set(rows.map((row) => row.dataset[name]))].filter(Boolean);
    select.append(new Option(`every ${name}`, ""), ...values.map((value) => new Option(value, value)));
    select.name = name;
    form.append(select);
    return select;
  });
  const headline = Object.assign(document.createElement("input"), { type: "checkbox" });
  const label = document.createElement("label");
  label.append(headline, " headlines only");
  const count = document.createElement("output");
  form.append(label, count);
  table.before(form);

  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const fits =
        words.every((word) => text.get(row).includes(word)) &&
        selects.every((select) => !select.value || row.dataset[select.name] === select.value) &&
        (!headline.checked || row.dataset.headline === "True");
      row.hidden = !fits;
      shown += fits;
    }
    count.textContent = `${shown} of ${rows.length} claims`;
  };

  /* A link to a claim shows its row, whatever was filtered, with its evidence open. */
  const go = () => {
    const row = rows.find((found) => found.id === location.hash.slice(1));
    if (!row) return;
    if (row.hidden) {
      form.reset();
      apply();
    }
    row.querySelector("details").open = true;
    row.scrollIntoView();
  };

  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", go);
  /* The same link again changes no hash. */
  document.addEventListener("click", (event) => {
    if (event.target.closest("a")?.getAttribute("href") === location.hash) go();
  });
  apply();
  go();
});

/* Verdicts of a lesson once stood on its page: an old link goes on to the card on the evidence page. */
document.addEventListener("DOMContentLoaded", () => {
  const moved = location.hash && document.getElementById(location.hash.slice(1));
  if (moved?.dataset.evidence) location.replace(new URL(moved.dataset.evidence, location.href));
});
