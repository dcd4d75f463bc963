"use strict";

// Brings the view, the table and the match graph together: what is selected in one is selected in all.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent), photos = data.photos;
  const find = id => document.getElementById(id), table = find("photos"), body = table.tBodies[0];
  const rows = [...body.rows], rowOf = index => rows[index], image = index => rowOf(index).querySelector("img");
  const linked = new Set(data.pairs.flatMap(([a, b]) => [a, b]));
  photos.forEach((photo, index) => (photo.linked = linked.has(index)));

  const tip = find("tip");
  const view = find("view") && makeView(find("view"), data, photos, { image, select, hover });
  const graph = makeGraph(find("graph"), data.pairs, photos, { select, pair: words => (find("pair").textContent = words) });

  function hover(index, x, y, width, height) {
    tip.hidden = index < 0;
    if (index < 0) return;
    const picture = image(index);
    tip.querySelector("img").hidden = !picture;
    if (picture) tip.querySelector("img").src = picture.src;
    tip.querySelector("span").textContent = photos[index].name;
    const box = tip.getBoundingClientRect(), right = x + 18 + box.width > width;
    tip.style.translate = `${right ? x - 18 - box.width : x + 18}px ${Math.max(6, Math.min(y - box.height / 2, height - box.height - 6))}px`;
  }

  function select(index, from) {
    rows.forEach((row, k) => row.setAttribute("aria-selected", String(k === index)));
    if (view) view.select(index);
    graph.select(index);
    describe(index);
    const row = rowOf(index), sheet = table.parentElement, top = row.offsetTop - table.tHead.offsetHeight;
    if (from !== row && (top < sheet.scrollTop || row.offsetTop + row.offsetHeight > sheet.scrollTop + sheet.clientHeight))
      sheet.scrollTop = top - sheet.clientHeight / 3;
  }

  function describe(index) {
    const box = find("chosen");
    if (!box) return;
    const row = rowOf(index), cells = [...row.cells], heads = [...table.tHead.rows[0].cells];
    const make = (tag, ...children) => {
      const node = document.createElement(tag);
      node.append(...children);
      return node;
    };
    const facts = make("table");
    for (let k = 1; k < cells.length - 1; k++) facts.append(make("tr", make("th", heads[k].innerText.trim()), make("td", ...cells[k].cloneNode(true).childNodes)));
    const parts = [make("h3", photos[index].name), facts];
    if (image(index)) {
      const picture = image(index).cloneNode();
      picture.alt = photos[index].name;
      picture.loading = "eager";
      parts.unshift(picture);
    }
    if (photos[index].camera) {
      const button = make("button", "look through this camera");
      button.type = "button";
      button.className = "look";
      button.addEventListener("click", () => view.lookThrough(index));
      parts.push(button);
    }
    const near = make("div", ...cells.at(-1).cloneNode(true).childNodes);
    near.className = "near";
    if (near.textContent.trim()) near.prepend(make("div", "matches best with"));
    box.replaceChildren(...parts, near);
  }

  document.addEventListener("click", event => {
    const button = event.target.closest("[data-select]"), row = event.target.closest("#photos tbody tr");
    if (button) select(Number(button.dataset.select), row);
    else if (row) select(Number(row.dataset.index), row);
  });

  // --- sorting and narrowing the table ------------------------------------------------------------------------

  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (button) button.addEventListener("click", () => sort(column));
  });

  function sort(column) {
    const falling = heads[column].getAttribute("aria-sort") === "ascending";
    heads.forEach(head => head.removeAttribute("aria-sort"));
    heads[column].setAttribute("aria-sort", falling ? "descending" : "ascending");
    const value = row => (column ? row.cells[column].dataset.value : row.dataset.name);
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === ""); // what is missing comes last, either way
      const order = isNaN(x) || isNaN(y) || !column ? x.localeCompare(y, "en", { numeric: true }) : x - y;
      return (falling ? -order : order) || a.dataset.index - b.dataset.index;
    };
    body.append(...[...rows].sort(compare));
  }

  function only(names) {
    const shown = names && new Set(names);
    rows.forEach((row, index) => (row.hidden = Boolean(shown) && !shown.has(photos[index].name)));
    find("all").hidden = !shown;
  }

  document.querySelectorAll("[data-only]").forEach(button =>
    button.addEventListener("click", () => {
      const names = JSON.parse(button.dataset.only);
      only(names);
      select(photos.findIndex(photo => photo.name === names[0]));
      table.closest("section").scrollIntoView();
    }));
  find("all").addEventListener("click", () => only(null));

  // --- the view's buttons, and the colors of light and dark ---------------------------------------------------

  if (view) {
    document.querySelectorAll("[data-do]").forEach(button => button.addEventListener("click", () => view.act(button.dataset.do)));
    find("show-photos").addEventListener("change", event => {
      body.querySelectorAll("img").forEach(picture => (picture.loading = "eager"));
      view.showPhotos(event.target.checked);
      setTimeout(view.redraw, 300);
    });
    body.querySelectorAll("img").forEach(picture => picture.addEventListener("load", view.redraw));
  }

  function paint() {
    const style = getComputedStyle(document.documentElement), colors = {};
    for (const name of ["page", "card", "line", "ink", "soft", "main", "second", "third", "fourth", "grid"]) colors[name] = style.getPropertyValue(`--${name}`).trim();
    document.querySelectorAll("[data-component]").forEach(key => (key.style.background = componentColor(colors, Number(key.dataset.component))));
    graph.paint(colors);
    if (view) view.paint(colors);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  paint();
  window.poses = { view, select }; // for tests, and for the curious
})();
