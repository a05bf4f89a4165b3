/* Draws every [data-chart] from the JSON beside it. The table stays, folded; without this file it stands open. */
"use strict";

(() => {
  const reduced = matchMedia("(prefers-reduced-motion: reduce)").matches;
  // Charts by id: whose table the reader opened, and which were drawn before, so that new data does not dance.
  // And which series are switched off in the legend, by name.
  const opened = new Set(), drawn = new Set(), hidden = new Map();
  // Custom properties hold light-dark(); a painted colour is what comes out of it.
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const colour = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  // Amounts as the server writes them: cents from a dollar on, four decimals below.
  const usd = (value) => {
    const size = Math.abs(value);
    const text = size >= 1 ? size.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 })
      : size >= 0.01 ? size.toFixed(4) : size ? String(Number(size.toPrecision(3))) : "0.00";
    return `${value < 0 ? "-" : ""}$${text}`;
  };
  const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

  // An axis from nothing to a round number, in about four round steps; all ticks with the same decimals.
  function scale(top) {
    const raw = top / 4, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].map((one) => one * power).find((one) => one >= raw * 0.999);
    return { step, max: Math.ceil(top / step - 1e-6) * step };
  }
  function decimals(step) {
    for (let digits = 0; digits < 12; digits += 1) {
      const scaled = step * 10 ** digits;
      if (Math.abs(scaled - Math.round(scaled)) < 1e-6) return digits;
    }
    return 12;
  }
  function ticks(unit, step) {
    const thousands = step >= 250;
    const own = decimals(thousands ? step / 1000 : step);
    const digits = unit === "usd" && !thousands && own ? Math.max(2, own) : own;
    return (value) => {
      const size = (thousands ? value / 1000 : value).toLocaleString("en-US", { minimumFractionDigits: value ? digits : 0, maximumFractionDigits: digits });
      return `${unit === "usd" ? "$" : ""}${size}${thousands && value ? "k" : ""}`;
    };
  }

  function element(tag, name, text) {
    const made = document.createElement(tag);
    made.className = name;
    if (text !== undefined) made.textContent = text;
    return made;
  }
  // Names are data: they are put in as text, never as markup.
  function tooltip(data, points, colours, off) {
    const at = points[0].dataIndex;
    const lines = data.series
      .map((one, place) => ({ name: one.name, value: one.values[at], text: one.texts[at], colour: colours[place] }))
      .filter((one) => !off.has(one.name) && one.value !== null && (one.value !== 0 || data.series.length === 1));
    lines.sort((a, b) => b.value - a.value);
    const made = [element("p", "cw-tip-title", data.titles[at])];
    const row = (name, text, colour) => {
      const line = element("p", "cw-tip-line");
      const mark = element("i", "cw-tip-mark");
      if (colour) mark.style.backgroundColor = colour;
      line.append(mark, element("bdi", "cw-tip-name", short(name, 34)), element("span", "cw-tip-value", text));
      return line;
    };
    made.push(...lines.slice(0, 9).map((one) => row(one.name, one.text, one.colour)));
    if (!lines.length) made.push(element("p", "cw-tip-line cw-soft", "Nothing"));
    if (data.totals.length && lines.length > 1) {
      const sum = row("Sum", off.size ? usd(lines.reduce((all, one) => all + one.value, 0)) : data.totals[at]);
      sum.classList.add("cw-tip-sum");
      made.push(sum);
    }
    return made;
  }

  function highest(data, shown) {
    const sums = data.labels.map((_, at) => shown.map((one) => one.values[at] ?? 0));
    return Math.max(0, ...sums.map((values) => (data.stacked ? values.reduce((all, one) => all + one, 0) : Math.max(0, ...values))));
  }

  function options(data, look, id) {
    const off = hidden.get(id) ?? new Set();
    const colours = data.series.map((one) => (one.muted ? look.other : look.series[(one.colour - 1) % look.series.length]));
    const reach = highest(data, data.series.filter((one) => !off.has(one.name)));
    // A budget far above all that was spent would press the bars flat: then the legend alone has it.
    const lines = data.lines.filter((line) => !reach || line.value < reach * 4);
    const below = data.series.some((one) => one.values.some((value) => value < 0));
    const { step, max } = scale(Math.max(reach, ...lines.map((line) => line.value)) || 1);
    const labels = lines.map((line) => ticks(data.unit, Math.min(step, 0.01) || step)(line.value));
    const room = Math.max(0, ...labels.map((label) => label.length));
    return {
      animation: !reduced && !drawn.has(id),
      animationDuration: 250,
      aria: { enabled: true, label: { description: `${data.title}. The same stands in a table below.` } },
      color: colours,
      grid: { left: 4, right: room ? 14 + room * 6.5 : 12, top: 16, bottom: 4, containLabel: true },
      textStyle: { fontFamily: look.font, fontSize: 12 },
      tooltip: {
        trigger: "axis", renderMode: "html", confine: true, className: "cw-tip", transitionDuration: 0, backgroundColor: look.surface,
        borderColor: look.line, borderWidth: 1, padding: [8, 12], textStyle: { color: look.text, fontSize: 12, fontFamily: look.font },
        // Behind the bars: what is pointed at must not vanish.
        axisPointer: { type: data.kind === "bar" ? "shadow" : "line", z: -1, shadowStyle: { color: look.hover }, lineStyle: { color: look.soft } },
        formatter: (points) => tooltip(data, Array.isArray(points) ? points : [points], colours, off),
      },
      xAxis: {
        type: "category", data: data.labels, boundaryGap: data.kind === "bar", axisTick: { show: false },
        axisLine: { lineStyle: { color: look.line } }, axisLabel: { color: look.soft, hideOverlap: true },
      },
      yAxis: {
        type: "value", axisLabel: { color: look.soft, formatter: ticks(data.unit, step) }, splitLine: { lineStyle: { color: look.line } },
        ...(below ? {} : { min: 0, max, interval: step }),
      },
      series: [...data.series.map((one, place) => ({
        type: data.kind, name: one.name, data: off.has(one.name) ? one.values.map(() => null) : one.values,
        stack: data.stacked ? "all" : undefined, color: colours[place],
        barMaxWidth: 42, barCategoryGap: "22%", cursor: one.links.length || one.link ? "pointer" : "default", step: data.step ? "end" : false,
        symbol: data.labels.length < 3 ? "circle" : "none", connectNulls: one.dashed,
        lineStyle: one.dashed ? { width: 1.5, type: [5, 4] } : { width: 2 }, emphasis: { disabled: true },
        markLine: place === 0 && lines.length ? {
          silent: true, symbol: "none", animation: false,
          data: lines.map((line, number) => ({ yAxis: line.value, name: line.name, label: { formatter: labels[number] } })),
          lineStyle: { color: look.soft, type: [5, 4], width: 1.5 },
          label: { position: "end", distance: 6, color: look.text, fontSize: 11, fontWeight: 500, fontFamily: look.font },
        } : undefined,
      })), ...band(data, colours, off)],
    };
  }

  // Two lines that nobody sees, one upon the other, and the ground between them tinted.
  function band(data, colours, off) {
    const [low, high] = data.band.map((name) => data.series.findIndex((one) => one.name === name));
    if (low === undefined || off.has(data.band[0]) || off.has(data.band[1])) return [];
    const between = data.series[high].values.map((value, at) => (value === null ? null : value - data.series[low].values[at]));
    const line = { type: "line", stack: "band", symbol: "none", silent: true, lineStyle: { opacity: 0 }, emphasis: { disabled: true } };
    return [{ ...line, data: data.series[low].values }, { ...line, data: between, areaStyle: { color: colours[high], opacity: 0.14 } }];
  }

  function look() {
    return {
      text: colour("--cw-text"), soft: colour("--cw-soft"), line: colour("--cw-line"), surface: colour("--cw-surface"),
      hover: colour("--cw-hover"), other: colour("--cw-series-other"), font: getComputedStyle(document.body).fontFamily,
      series: [1, 2, 3, 4, 5, 6, 7, 8].map((number) => colour(`--cw-series-${number}`)),
    };
  }

  function draw(figure) {
    const source = figure.querySelector('script[type="application/json"]');
    const canvas = figure.querySelector(".cw-canvas");
    if (!source || !canvas || typeof echarts === "undefined") return;
    const data = JSON.parse(source.textContent);
    canvas.hidden = false;
    const legend = figure.querySelector(".cw-legend");
    legend?.removeAttribute("hidden");
    canvas.style.height = `${figure.dataset.height}px`;
    canvas.setAttribute("role", "img");
    const chart = echarts.getInstanceByDom(canvas) || echarts.init(canvas, null, { renderer: "canvas" });
    const id = figure.dataset.chart;
    chart.setOption(options(data, look(), id), true);
    const press = () => legend?.querySelectorAll("[data-series]").forEach((one) => {
      one.setAttribute("aria-pressed", String(!hidden.get(id)?.has(data.series[one.dataset.series].name)));
    });
    press();
    if (canvas.dataset.ready) return;
    legend?.addEventListener("click", (event) => {
      const button = event.target.closest("[data-series]");
      if (!button) return;
      const name = data.series[button.dataset.series].name, off = hidden.get(id) ?? new Set();
      if (!off.delete(name)) off.add(name);
      hidden.set(id, off.size < data.series.length ? off : new Set());  // the last one out brings all back
      drawn.add(id);
      chart.setOption(options(data, look(), id), true);
      press();
    });
    canvas.dataset.ready = "yes";
    const table = figure.querySelector(".cw-as-table");
    table.open = opened.has(figure.dataset.chart);
    table.addEventListener("toggle", () => (table.open ? opened.add(figure.dataset.chart) : opened.delete(figure.dataset.chart)));
    chart.on("click", (point) => {
      const one = data.series[point.seriesIndex];
      const link = one?.link ? one.link.replaceAll("__at__", encodeURIComponent(data.keys[point.dataIndex])) : one?.links[point.dataIndex];
      if (link) location.assign(link);
    });
    drawn.add(figure.dataset.chart);
    new ResizeObserver(() => { if (canvas.isConnected) chart.resize(); }).observe(canvas);
  }

  const all = () => document.querySelectorAll("[data-chart]").forEach(draw);
  all();
  document.addEventListener("cw:theme", all);
  document.body.addEventListener("htmx:afterSettle", all);
  document.body.addEventListener("htmx:beforeCleanupElement", (event) => {
    if (event.target.classList?.contains("cw-canvas")) echarts.getInstanceByDom(event.target)?.dispose();
  });
})();
