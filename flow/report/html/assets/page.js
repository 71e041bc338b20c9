// The page is complete without this script: it adds hover cards, arrow keys in the heat maps and the choice of metric.
(() => {
  "use strict";
  const tip = document.getElementById("tip");
  const hide = () => { tip.hidden = true; };
  const show = (cell) => {
    tip.replaceChildren(...cell.getAttribute("aria-label").split("; ").map((line) => {
      const row = document.createElement("div");
      row.textContent = line;
      return row;
    }));
    tip.hidden = false;
    const box = cell.getBoundingClientRect();
    const left = Math.min(Math.max(box.left + box.width / 2 - tip.offsetWidth / 2, 8), innerWidth - tip.offsetWidth - 8);
    const above = box.top - tip.offsetHeight - 8;
    tip.style.left = `${Math.max(left, 8)}px`;
    tip.style.top = `${above > 8 ? above : box.bottom + 8}px`;
  };
  const moveTo = (grid, cell) => {
    grid.querySelectorAll('td[tabindex="0"]').forEach((old) => { old.tabIndex = -1; });
    cell.tabIndex = 0;
    cell.focus();
  };
  document.querySelectorAll('table.heat[role="grid"]').forEach((grid) => {
    const cells = [...grid.querySelectorAll("tbody td")];
    const across = grid.querySelector("tbody tr").querySelectorAll("td").length;
    grid.addEventListener("keydown", (event) => {
      const at = cells.indexOf(document.activeElement);
      const row = at - (at % across);
      const to = {
        ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + across, ArrowUp: at - across,
        Home: event.ctrlKey ? 0 : row, End: event.ctrlKey ? cells.length - 1 : Math.min(row + across, cells.length) - 1,
      }[event.key];
      if (event.key === "Escape") hide();
      if (at < 0 || to === undefined) return;
      event.preventDefault();
      if (cells[to]) moveTo(grid, cells[to]);
    });
    cells.forEach((cell) => {
      cell.addEventListener("mouseenter", () => show(cell));
      cell.addEventListener("mouseleave", hide);
      cell.addEventListener("focus", () => show(cell));
      cell.addEventListener("blur", hide);
      cell.addEventListener("click", () => moveTo(grid, cell));
    });
  });
  // A table that fits needs no stop of the Tab key to be scrolled.
  const stops = () => document.querySelectorAll(".scroll").forEach((box) => {
    box.tabIndex = box.scrollWidth > box.clientWidth ? 0 : -1;
  });
  stops();
  addEventListener("resize", stops);
  addEventListener("scroll", hide, { passive: true, capture: true });
  document.querySelectorAll('input[name="metric"]').forEach((input) => {
    input.addEventListener("change", () => {
      document.querySelectorAll("td[data-t]").forEach((cell) => {
        cell.textContent = cell.dataset.t.split("|")[input.value];
        cell.className = `c${cell.dataset.c[input.value]}`;
      });
      document.getElementById("legend-name").textContent = input.dataset.name;
      document.getElementById("legend-most").textContent = input.dataset.most;
    });
  });
})();
