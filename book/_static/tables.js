/* pandas prints the names of an index in a second header row, otherwise empty. Put them into the first. */
document.addEventListener("DOMContentLoaded", () => {
  for (const head of document.querySelectorAll("table.dataframe > thead")) {
    const [names, titles] = [head.rows[head.rows.length - 1], head.rows[head.rows.length - 2]];
    if (head.rows.length < 2 || names.cells.length !== titles.cells.length) continue;
    const cells = [...names.cells].map((cell, i) => [cell, titles.cells[i]]);
    const fits = ([name, title]) => !name.textContent.trim() || !title.textContent.trim();
    if (!cells.every(fits)) continue;
    for (const [name, title] of cells) {
      if (name.textContent.trim()) title.textContent = name.textContent;
    }
    names.remove();
  }
});
