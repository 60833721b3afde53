"use strict";
// What scripts add to the page: sorting, filters, all rows of long tables, engines, other runs and charts that answer.
// Without them everything that is said stays readable.  Texts of a run enter by textContent alone, never as markup.
(() => {
  const query = new URLSearchParams(location.search);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const holder = document.getElementById("run");
  const fill = (parent, children) => {
    const part = document.createDocumentFragment();
    for (const child of children) part.append(child);
    parent.append(part);
  };
  // Rows of columns; one of few values comes as these and the place of each cell's among them.
  const unfold = (folded) => {
    const columns = folded.map((column) => column.of ? column.at.map((place) => column.of[place]) : column);
    return columns[0].map((_, row) => columns.map((column) => column[row]));
  };
  const isFound = (text, words) => words.every((word) => text.includes(word));
  const split = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);
  let engine = query.get("engine") || "all";

  // -- tables ----------------------------------------------------------------------------------------------------

  const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  const lower = (text) => text.replace("⁻", "-").replace(/[⁰¹²³⁴⁵⁶⁷⁸⁹]/g, (digit) => RAISED.indexOf(digit));
  // The number that a cell shows; null for a dash and for what is no number.
  const read = (text) => {
    const plain = text.trim().replace(/,/g, "").replace(/%$/, "").replace("∞", "Infinity").replace(/×10(.+)$/, (_, power) => `e${lower(power)}`);
    return plain === "" || Number.isNaN(Number(plain)) ? null : Number(plain);
  };
  const compare = (isNumber, sign) => ([a], [b]) => {
    if (!isNumber) return sign * a.localeCompare(b, "en", { numeric: true });
    return a === null || b === null ? (a === null) - (b === null) : sign * (a - b || 0);
  };

  const equip = (figure) => {
    const table = figure.querySelector("table");
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    const rest = figure.querySelector("script.rest");
    const rule = figure.dataset.rows ? JSON.parse(figure.dataset.rows) : null;
    let rows = [...body.rows];
    let isWhole = rest === null;
    let sorted = { column: -1, sign: 1 };
    const total = Number(figure.dataset.total);
    if (total < 2 && !rule && !heads.some((head) => head.dataset.engine)) return null;

    const load = () => {
      if (isWhole) return;
      isWhole = true;
      const classes = heads.map((head) => head.className);
      const added = unfold(JSON.parse(rest.textContent)).map((cells) =>
        make("tr", {}, ...cells.map((textContent, index) => make("td", { textContent, className: classes[index] }))));
      rows = rows.concat(added);
      fill(body, added);
    };
    const words = make("input", { type: "search", placeholder: "Filter rows" });
    words.setAttribute("aria-label", `Filter the rows of table ${figure.dataset.name}`);
    const more = make("button", { type: "button", textContent: `Show all ${total} rows`, hidden: isWhole });
    const count = make("span", { className: "count" });
    count.setAttribute("role", "status");
    figure.querySelector("figcaption").append(make("span", { className: "tools" }, words, more, count));

    const isOfEngine = (row) => {
      if (!rule || engine === "all") return true;
      const text = row.cells[rule.column].textContent;
      const found = Object.entries(rule.engines).find(([prefix]) => text.startsWith(prefix));
      return !found || found[1] === engine;
    };
    const update = () => {
      const wanted = split(words.value);
      if (wanted.length || (rule && engine !== "all")) load();
      for (const row of rows) row.hidden = !isOfEngine(row) || !isFound(row.textContent.toLowerCase(), wanted);
      const shown = rows.filter((row) => !row.hidden).length;
      more.hidden = isWhole;
      count.textContent = shown < total ? `${shown} of ${total} rows` : "";
      const has = heads.some((head) => head.dataset.engine === engine);
      heads.forEach((head, index) => {
        const isOut = has && head.dataset.engine !== undefined && head.dataset.engine !== engine;
        if (!isOut && !head.hidden) return;
        for (const row of table.rows) row.cells[index].hidden = isOut;
      });
    };
    const order = (column) => {
      load();
      sorted = column === sorted.column && sorted.sign < 0 ? { column: -1, sign: 1 }
        : { column, sign: column === sorted.column ? -1 : 1 };
      const isNumber = heads[column].classList.contains("num");
      const keys = rows.map((row) => {
        const text = row.cells[column].textContent;
        return [isNumber ? read(text) : text, row];
      });
      fill(body, sorted.column < 0 ? rows : keys.sort(compare(isNumber, sorted.sign)).map(([, row]) => row));
      heads.forEach((head, index) => head.setAttribute(
        "aria-sort", index !== sorted.column ? "none" : sorted.sign > 0 ? "ascending" : "descending"));
      update();
    };
    heads.forEach((head, column) => {
      const button = make("button", { type: "button", className: "sort", title: "Sort by this column" }, ...head.childNodes);
      button.addEventListener("click", () => order(column));
      head.append(button);
    });
    words.addEventListener("input", update);
    more.addEventListener("click", () => { load(); update(); });
    return update;
  };

  // -- claims ----------------------------------------------------------------------------------------------------

  const equipClaims = (section) => {
    const tools = section.querySelector(".tools");
    const [verdict, experiment] = all("select", tools);
    const [words] = all("input", tools);
    const [unfold, fold] = all("button", tools);
    const items = all("details.claim", section).map((item) => [item, item.textContent.toLowerCase()]);
    const count = tools.querySelector(".count");
    const update = () => {
      const wanted = split(words.value);
      for (const [item, text] of items) {
        item.hidden = !((!verdict.value || item.dataset.verdict === verdict.value)
          && (!experiment.value || item.dataset.experiments.split(" ").includes(experiment.value))
          && isFound(text, wanted));
      }
      count.textContent = `${items.filter(([item]) => !item.hidden).length} of ${items.length} claims`;
    };
    const turn = (isOpen) => items.forEach(([item]) => { item.open = isOpen && !item.hidden; });
    unfold.addEventListener("click", () => turn(true));
    fold.addEventListener("click", () => turn(false));
    for (const field of [verdict, experiment, words]) field.addEventListener("input", update);
    verdict.value = query.get("verdict") || "";
    experiment.value = query.get("experiment") || "";
    words.value = query.get("claims") || "";
    tools.hidden = false;
    update();
    return () => { verdict.value = experiment.value = words.value = ""; update(); };
  };

  // -- charts ----------------------------------------------------------------------------------------------------

  const isDark = matchMedia("(prefers-color-scheme: dark)");
  const theme = () => {
    const style = getComputedStyle(document.documentElement);
    const [text, faint, line] = ["--text", "--faint", "--line"].map((name) => style.getPropertyValue(name).trim());
    const category = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", isDark.matches ? "#ffffff" : "#000000", "#7F7F7F"];
    return {
      background: null, font: "system-ui, sans-serif", view: { stroke: line },
      axis: { labelColor: faint, titleColor: text, gridColor: line, domainColor: line, tickColor: line, titleFontWeight: 500 },
      legend: { labelColor: text, titleColor: text, titleFontWeight: 500, orient: "top", columns: 4 },
      header: { labelColor: text, titleColor: text }, mark: { color: category[0] }, rule: { color: faint },
      text: { color: text }, range: { category },
    };
  };
  let views = new Map();
  const tell = (view) => {
    try { view.signal("engine", engine).runAsync(); } catch { /* a chart of one engine has no such signal */ }
  };
  const draw = async (figure) => {
    const place = figure.querySelector(".chart > div");
    const spec = JSON.parse(figure.querySelector("script.spec").textContent);
    const { names, columns } = spec.data;
    spec.data = { values: unfold(columns).map((row) => Object.fromEntries(row.map((value, at) => [names[at], value]))) };
    // The policy allows no code made from text: Vega's expressions are interpreted (`ast`).
    const made = await vegaEmbed(place, spec, {
      mode: "vega-lite", actions: false, ast: true, renderer: "svg", config: theme(),
      tooltip: { theme: isDark.matches ? "dark" : "light" },
    });
    views.set(figure, made);
    tell(made.view);
  };
  const equipCharts = (root) => {
    const figures = all("figure[data-chart]", root);
    if (typeof vegaEmbed === "undefined" || !figures.length) return;
    const watch = new IntersectionObserver((entries) => {
      for (const entry of entries.filter((one) => one.isIntersecting)) {
        watch.unobserve(entry.target);
        draw(entry.target).catch((error) => {
          entry.target.classList.remove("live");  // the figure as printed says the same
          throw error;
        });
      }
    }, { rootMargin: "400px" });
    for (const figure of figures) {
      const card = figure.querySelector(".card");
      const chart = make("div", { className: "chart" }, make("div"));
      const button = make("button", { type: "button" });
      const turn = (isLive) => {
        figure.classList.toggle("live", isLive);
        button.textContent = isLive ? "Figure as printed" : "Chart that answers the pointer";
      };
      button.addEventListener("click", () => turn(!figure.classList.contains("live")));
      card.before(chart);
      figure.querySelector("figcaption").append(make("span", { className: "tools" }, button));
      turn(true);
      watch.observe(figure);
    }
  };
  isDark.addEventListener("change", () => {
    for (const [figure, made] of views) { made.finalize(); draw(figure); }
  });

  // What is folded is printed, too, and folded again afterwards.
  let unfolded = [];
  addEventListener("beforeprint", () => {
    unfolded = all("details:not([open])", holder);
    for (const item of unfolded) item.open = true;
  });
  addEventListener("afterprint", () => { for (const item of unfolded) item.open = false; });

  // -- the page --------------------------------------------------------------------------------------------------

  let updates = [];
  let clear = () => {};
  const spy = (root) => {
    const links = new Map(all("nav a", root).map((link) => [link.hash.slice(1), link]));
    const watch = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        links.forEach((link) => link.removeAttribute("aria-current"));
        links.get(target.id)?.setAttribute("aria-current", "true");
      }
    }, { rootMargin: "-10% 0px -80% 0px" });
    all("main > section[id]", root).forEach((section) => watch.observe(section));
  };
  const choose = () => {
    const has = (holder.querySelector("main").dataset.engines || "").split(" ").filter(Boolean);
    const field = document.getElementById("engine");
    for (const option of field.options) option.disabled = option.value !== "all" && !has.includes(option.value);
    field.closest("label").hidden = has.length < 2;
    engine = has.includes(engine) ? engine : "all";
    field.value = engine;
    document.getElementById("controls").hidden = has.length < 2 && !document.getElementById("runs");
  };
  const show = () => {
    for (const update of updates) update();
    for (const part of all("[data-only]", holder)) part.hidden = engine !== "all" && part.dataset.only !== engine;
    for (const { view } of views.values()) tell(view);
  };
  const open = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (!target) return;
    const folded = target.closest("details");
    if (folded) {
      if (folded.hidden) clear();
      folded.open = true;
    }
    target.scrollIntoView();
  };
  const begin = () => {
    for (const made of views.values()) made.finalize();
    views = new Map();
    choose();
    updates = all("figure.table", holder).map(equip).filter(Boolean);
    const claims = holder.querySelector("#claims .tools");
    clear = claims ? equipClaims(claims.closest("section")) : () => {};
    equipCharts(holder);
    spy(holder);
    show();
  };

  document.getElementById("engine").addEventListener("input", (event) => { engine = event.target.value; show(); });
  const runs = document.getElementById("runs");
  if (runs) {
    const copy = (nodes) => [...nodes].map((node) => node.cloneNode(true));
    const kept = new Map([["0", copy(holder.childNodes)]]);
    for (const template of all("template.run")) kept.set(template.dataset.run, [...template.content.childNodes]);
    const swap = () => {
      const seen = all("main > section[id]", holder).findLast((one) => one.getBoundingClientRect().top < innerHeight / 3);
      holder.replaceChildren(...copy(kept.get(runs.value)));
      begin();
      if (seen) document.getElementById(seen.id)?.scrollIntoView();
    };
    runs.addEventListener("input", swap);
    if (kept.has(query.get("run"))) runs.value = query.get("run");
    if (runs.value !== "0") holder.replaceChildren(...copy(kept.get(runs.value)));
  }
  begin();
  open();
  addEventListener("hashchange", open);
})();
