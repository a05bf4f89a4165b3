/* Draws every [data-chart] from the JSON beside it. The table stays, folded; without this file it stands open. */
"use strict";

(() => {
  const reduced = matchMedia("(prefers-reduced-motion: reduce)").matches;
  // Charts by id: whose table the reader opened, and which were drawn before, so that new data does not dance.
  const opened = new Set(), drawn = new Set();
  // Custom properties hold light-dark(); a painted colour is what comes out of it.
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const colour = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const money = (value) => {
    if (value === 0) return "$0";
    const size = Math.abs(value);
    if (size >= 1000) return `$${Number((value / 1000).toPrecision(4))}k`;
    return `$${Number(value.toPrecision(3))}`;
  };
  const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
  // Names are data: rich text gives braces and bars a meaning.
  const plain = (text) => text.replace(/[{}|]/g, (sign) => ({ "{": "(", "}": ")", "|": "/" })[sign]);

  function tooltip(data, points, look) {
    const at = points[0].dataIndex;
    const lines = data.series
      .map((one, place) => ({ name: one.name, value: one.values[at], text: one.texts[at], place }))
      .filter((one) => one.value !== null && (one.value !== 0 || data.series.length === 1));
    lines.sort((a, b) => b.value - a.value);
    const shown = lines.slice(0, 9).map((one) => `{m${one.place}|■} {n|${plain(short(one.name, 34))}}  {v|${plain(one.text)}}`);
    const sum = data.totals.length && lines.length > 1 ? [`{n|Sum}  {v|${plain(data.totals[at])}}`] : [];
    return [`{h|${plain(data.titles[at])}}`, ...(shown.length ? shown : ["{n|Nothing}"]), ...sum].join("\n");
  }

  function options(data, look, id) {
    const colours = data.series.map((one, place) => (one.muted ? look.other : look.series[place % look.series.length]));
    const rich = {
      h: { fontWeight: 600, color: look.text, lineHeight: 22, fontSize: 13 },
      n: { color: look.soft, lineHeight: 20 },
      v: { color: look.text, fontWeight: 500, lineHeight: 20 },
    };
    colours.forEach((one, place) => { rich[`m${place}`] = { color: one, fontSize: 11 }; });
    const top = Math.max(0, ...data.lines.map((line) => line.value));
    const write = data.unit === "usd" ? money : (value) => String(Number(value.toPrecision(4)));
    return {
      animation: !reduced && !drawn.has(id),
      animationDuration: 250,
      aria: { enabled: true, label: { description: `${data.title}. The same stands in a table below.` } },
      color: colours,
      grid: { left: 4, right: 12, top: 16, bottom: 4, containLabel: true },
      textStyle: { fontFamily: look.font, fontSize: 12 },
      tooltip: {
        trigger: "axis", renderMode: "richText", confine: true, backgroundColor: look.surface, borderColor: look.line,
        borderWidth: 1, padding: [8, 12], textStyle: { color: look.text, fontSize: 12, rich },
        axisPointer: { type: data.kind === "bar" ? "shadow" : "line", shadowStyle: { color: look.hover }, lineStyle: { color: look.line } },
        formatter: (points) => tooltip(data, Array.isArray(points) ? points : [points], look),
      },
      xAxis: {
        type: "category", data: data.labels, boundaryGap: data.kind === "bar", axisTick: { show: false },
        axisLine: { lineStyle: { color: look.line } }, axisLabel: { color: look.soft, hideOverlap: true },
      },
      yAxis: {
        type: "value", splitNumber: 4, axisLabel: { color: look.soft, formatter: write }, splitLine: { lineStyle: { color: look.line } },
        max: (range) => (top > range.max && top < range.max * 4 ? top * 1.05 : null),
      },
      series: data.series.map((one, place) => ({
        type: data.kind, name: one.name, data: one.values, stack: data.stacked ? "all" : undefined, color: colours[place],
        barMaxWidth: 42, barCategoryGap: "22%", cursor: one.links.length || one.link ? "pointer" : "default", step: data.step ? "end" : false,
        symbol: data.labels.length < 3 ? "circle" : "none", connectNulls: false, lineStyle: { width: 2 }, emphasis: { disabled: true },
        markLine: place === 0 && data.lines.length ? {
          silent: true, symbol: "none",
          data: data.lines.map((line) => ({ yAxis: line.value, name: line.name, label: { formatter: `${plain(short(line.name, 28))} ${line.text}` } })),
          lineStyle: { color: look.soft, type: [5, 4], width: 1.5 }, label: { position: "insideEndTop", color: look.soft, fontSize: 11 },
        } : undefined,
      })),
    };
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
    figure.querySelector(".cw-legend")?.removeAttribute("hidden");
    canvas.style.height = `${figure.dataset.height}px`;
    canvas.setAttribute("role", "img");
    const chart = echarts.getInstanceByDom(canvas) || echarts.init(canvas, null, { renderer: "canvas" });
    chart.setOption(options(data, look(), figure.dataset.chart), true);
    if (canvas.dataset.ready) return;
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
