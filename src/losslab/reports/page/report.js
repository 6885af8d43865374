"use strict";
// Draws each figure when it comes near the screen, in the page's colours, and opens rows of ledgers, and nothing more: every number and every text
// is in the page already. Drawing all of them before the page is shown would take seconds.
(() => {
  const root = document.documentElement;
  const narrow = window.matchMedia("(max-width: 640px)");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const plots = document.querySelectorAll(".plot");
  const drawn = new Set();
  const color = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const slot = (index) => color(`--series-${index % 6}`);
  const read = (plot) => JSON.parse(document.getElementById(`spec-${plot.dataset.figure}`).textContent);

  function paintTrace(trace) {
    const ink = slot(trace.meta.slot);
    if (trace.meta.band) return { ...trace, fillcolor: `${ink}26` };
    const marker = { color: ink, ...trace.marker };
    if (marker.line) marker.line = { ...marker.line, color: ink };
    return { ...trace, line: { color: ink, ...trace.line }, marker, error_x: trace.error_x && { color: ink, ...trace.error_x } };
  }

  function paintAxis(axis) {
    const line = color("--line");
    return { ...axis, gridcolor: line, linecolor: color("--faint"), zeroline: false, ticks: "outside",
      tickcolor: line, automargin: false };
  }

  // On a narrow screen the labels at the lines' ends become a legend, and a long legend goes below.
  function paint({ data, layout }) {
    const direct = layout.annotations.filter((each) => each.name);
    const entries = data.filter((each) => each.showlegend !== false).length;
    const legend = narrow.matches && (direct.length > 0 || (layout.showlegend && entries > 2));
    const annotations = layout.annotations.filter((each) => !(legend && each.name)).map((each) => ({
      ...each, font: { size: 12, weight: each.name ? 600 : 400, color: each.name ? slot(Number(each.name.slice(5))) : color("--soft") },
    }));
    return { data: data.map(paintTrace), layout: {
      ...layout, annotations, autosize: true, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: color("--ink") },
      xaxis: paintAxis(layout.xaxis), yaxis: paintAxis(layout.yaxis),
      shapes: layout.shapes.map((each) => ({ ...each, line: { ...each.line, color: color("--soft") } })),
      hoverlabel: { bgcolor: color("--page"), bordercolor: color("--faint"), font: { color: color("--ink") } },
      showlegend: legend || layout.showlegend,
      height: layout.height + (legend ? 18 * entries : 0),
      legend: legend ? { orientation: "h", x: 0, y: -0.2, yanchor: "top" } : layout.legend,
      margin: legend ? { ...layout.margin, r: 12, l: 52, b: layout.margin.b + 18 * entries } : layout.margin,
      dragmode: narrow.matches ? false : "zoom",
    } };
  }

  function draw(plot) {
    const { data, layout } = paint(read(plot));
    Plotly.react(plot, data, layout, { displayModeBar: false, responsive: true });
    drawn.add(plot);
  }

  const redraw = () => drawn.forEach(draw);

  function choose(radio) {
    for (const each of document.getElementsByName(radio.name)) {
      const panel = document.getElementById(each.value);
      panel.hidden = !each.checked;
      if (each.checked) panel.querySelectorAll(".plot").forEach((plot) => drawn.has(plot) && Plotly.Plots.resize(plot));
    }
  }

  // A link may lead into a panel that is hidden.
  function show(id) {
    const panel = document.getElementById(id)?.closest(".panel[hidden]");
    const radio = panel && document.querySelector(`.choices input[value="${panel.id}"]`);
    if (!radio) return;
    radio.checked = true;
    choose(radio);
    document.getElementById(id).scrollIntoView();
  }

  // A row that is closed hides the rows inside it, which follow it and are deeper.
  function showRows(table) {
    let closed = Infinity;
    for (const row of table.querySelectorAll("tr[data-level]")) {
      const level = Number(row.dataset.level);
      row.hidden = level > closed;
      if (!row.hidden) closed = row.querySelector(".opener[aria-expanded=false]") ? level : Infinity;
    }
  }

  function openAll(ledger, open) {
    ledger.querySelectorAll(".opener").forEach((opener) => opener.setAttribute("aria-expanded", open));
    ledger.querySelector(".all")?.setAttribute("aria-pressed", open);
    showRows(ledger);
  }

  function setTheme(theme) {
    root.dataset.theme = theme;
    redraw();
  }

  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const selected = () => document.querySelectorAll(".choices input:checked");
  document.getElementById("theme").addEventListener("click", () => setTheme(isDark() ? "light" : "dark"));
  dark.addEventListener("change", redraw);
  narrow.addEventListener("change", redraw);
  document.querySelectorAll(".choices").forEach((box) => box.addEventListener("change", (event) => choose(event.target)));

  const ledgers = document.querySelectorAll(".ledger");
  ledgers.forEach((ledger) => openAll(ledger, false));
  document.querySelectorAll(".opener").forEach((opener) => opener.addEventListener("click", () => {
    opener.setAttribute("aria-expanded", opener.getAttribute("aria-expanded") === "false");
    showRows(opener.closest("table"));
  }));
  document.querySelectorAll(".all").forEach((button) => button.addEventListener("click", () => {
    openAll(button.closest(".ledger"), button.getAttribute("aria-pressed") === "false");
  }));

  let before;
  window.addEventListener("beforeprint", () => {
    before = root.dataset.theme || "";
    document.querySelectorAll(".panel, tr[data-level]").forEach((each) => { each.hidden = false; });
    ledgers.forEach((ledger) => { ledger.dataset.open = ledger.open; ledger.open = true; });
    plots.forEach((plot) => drawn.add(plot));
    setTheme("light");
  });
  window.addEventListener("afterprint", () => {
    if (before) setTheme(before); else { delete root.dataset.theme; redraw(); }
    selected().forEach(choose);
    ledgers.forEach((ledger) => { ledger.open = ledger.dataset.open === "true"; showRows(ledger); });
  });

  selected().forEach(choose);
  window.addEventListener("hashchange", () => show(location.hash.slice(1)));
  document.querySelectorAll("a[href^='#']").forEach((link) => link.addEventListener("click", () => show(link.hash.slice(1))));
  show(location.hash.slice(1));
  const near = new IntersectionObserver((entries) => {
    for (const { target } of entries.filter((entry) => entry.isIntersecting)) {
      near.unobserve(target);
      draw(target);
    }
  }, { rootMargin: "50% 0px" });
  plots.forEach((plot) => near.observe(plot));
})();
