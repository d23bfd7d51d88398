// Draws the plots from the JSON in the page. Colours and heights come from the style sheet, so light and dark, wide and
// narrow need no second list.
"use strict";
(async () => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const style = getComputedStyle(document.documentElement);
  const color = name => style.getPropertyValue("--" + name).trim();
  const dark = matchMedia("(prefers-color-scheme: dark)"), narrow = matchMedia("(max-width: 720px)");

  const number = value => Number(value.toPrecision(4)).toLocaleString("en-US", {maximumFractionDigits: 6});
  const duration = ms => ms < 1 ? number(ms * 1000) + " us" : ms < 1000 ? number(ms) + " ms" : number(ms / 1000) + " s";
  const percentile = nines => Number((100 * (1 - Math.pow(10, -nines))).toFixed(Math.max(0, Math.ceil(nines) - 1)));

  // a line; with dots if a value has no neighbours, of which there is no line
  const line = (name, hue, x, y, show, more = {}) => ({
    name, x, y, text: y.map((value, at) => value == null ? "" : show(value, at)), hoverinfo: "text+name",
    mode: y.some((value, at) => value != null && y[at - 1] == null && y[at + 1] == null) ? "lines+markers" : "lines",
    marker: {size: 4}, line: {color: color(hue), width: 1.75, ...more},
  });
  // a little more at both ends, so that no line lies on the edge
  const padded = (from, to) => [from - 0.01 * (to - from), to + 0.01 * (to - from)];

  const fromZero = values => {
    const high = Math.max(...values);
    return {range: high > 0 ? [-0.02 * high, 1.08 * high] : [-0.02, 1], nticks: high > 0 ? 6 : 2, tickformat: ",~r"};
  };
  // durations on a log scale, from a third of a decade to another; 1, 2, 5, 10... or, of many decades, powers of ten
  const decades = values => {
    const known = values.filter(value => value > 0);
    if (!known.length) return {};
    const from = Math.floor(Math.log10(Math.min(...known) * 0.98) * 3) / 3;
    const to = Math.max(Math.ceil(Math.log10(Math.max(...known) * 1.02) * 3) / 3, from + 0.6);
    const ticks = [];
    for (let power = Math.floor(from); power <= to; power++)
      for (const step of to - from > 3 ? [1] : [1, 2, 5]) ticks.push(Number(`${step}e${power}`));
    return {type: "log", range: [from, to], tickvals: ticks, ticktext: ticks.map(duration)};
  };

  const draw = (id, lines, {xaxis, yaxis, ...layout}) => {
    const holder = document.getElementById(id);
    if (!lines[0].y.some(value => value != null)) {
      holder.innerHTML = '<p class="muted">Nothing was measured.</p>';
      return holder;
    }
    const axis = {color: color("muted"), gridcolor: color("line"), zeroline: false, ticklabelstandoff: 5};
    const font = {family: style.getPropertyValue("--font"), size: 12, color: color("ink")};
    Plotly.react(holder, lines, {
      font, paper_bgcolor: color("panel"), plot_bgcolor: color("panel"),
      margin: {l: 58, r: 18, t: 8, b: 28},
      xaxis: {...axis, spikecolor: color("muted"), spikethickness: 1, spikedash: "dot", spikemode: "across", ...xaxis},
      yaxis: {...axis, fixedrange: true, automargin: true, ...yaxis},
      showlegend: lines.length > 1,
      legend: {orientation: "h", x: 0, xanchor: "left", y: 1, yanchor: "bottom", bgcolor: "transparent"},
      hoverlabel: {bgcolor: color("panel"), bordercolor: color("muted"), font},
      // a finger scrolls the page; a mouse selects the stretch to look at, and a double click goes back
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
      ...layout,
    }, {displayModeBar: false, displaylogo: false, responsive: true, showTips: false});
    return holder;
  };

  const drawPercentiles = () => {
    const {nines, response_ms, service_ms, ...p} = data.percentiles;
    const end = Math.max(1, nines[nines.length - 1]);
    const bounds = p.bounds.filter(bound => bound.nines <= end);
    const at = (value, index) => `${duration(value)} at ${percentile(nines[index])} %`;
    const ticks = [...(narrow.matches ? [0] : [0, Math.log10(2)]), ...Array.from({length: Math.floor(end)}, (_, i) => i + 1)];
    const yaxis = decades([...response_ms, ...service_ms, ...bounds.map(bound => bound.ms)]);
    draw("percentiles", [
      line("response time", "blue", nines, response_ms, at),
      line("service time", "orange", nines, service_ms, at, {dash: "6px 3px"}),
      // the objectives' bounds: a curve that crosses the dashes breaks the objective
      ...bounds.map(bound => ({
        x: [0, bound.nines, bound.nines], y: [bound.ms, bound.ms, Math.pow(10, yaxis.range[0])], mode: "lines",
        line: {color: color("red"), width: 1.5, dash: "5px 4px"}, hoverinfo: "skip", showlegend: false,
      })),
    ], {
      hovermode: "x",
      xaxis: {range: padded(0, end), fixedrange: true, showspikes: true, tickvals: ticks,
              ticktext: ticks.map(nine => percentile(nine) + (narrow.matches ? "" : " %"))},
      yaxis,
      // their names at the foot, far below the curves, on the side that has room
      annotations: bounds.map((bound, index) => ({
        text: bound.label.replace(/&/g, "&amp;").replace(/</g, "&lt;"), showarrow: false,
        font: {color: color("red")}, bgcolor: color("panel"), borderpad: 1,
        x: bound.nines, ...(bound.nines < end * 0.45 ? {xanchor: "left", xshift: 4} : {xanchor: "right", xshift: -4}),
        yref: "paper", y: 0, yanchor: "bottom", yshift: 15 * index,
      })),
    });
  };

  const drawTimeline = () => {
    const s = data.server, t = data.timeline, first = t.second[0], last = Math.max(t.second[t.second.length - 1], first + 1);
    const shaded = (from, to) => ({
      type: "rect", layer: "below", x0: Math.max(from, first), x1: Math.min(to, last), yref: "paper", y0: 0, y1: 1,
      fillcolor: color("shade"), line: {width: 0},
    });
    const life = data.lifecycle;
    const outages = life.outages.map(one => ({...shaded(one.from, one.to), fillcolor: color("red"), opacity: 0.12}));
    const phases = [shaded(first, t.warmup_s), shaded(t.load_end_s, last), ...outages].filter(phase => phase.x0 < phase.x1);
    const moments = life.lines.map(one => ({
      type: "line", x0: one.second, x1: one.second, yref: "paper", y0: 0, y1: 1,
      line: {color: color("muted"), width: 1, dash: "dot"},
    }));
    // of many lines the names would lie on each other
    const names = life.lines.length > 8 ? [] : life.lines.map((one, index) => ({
      text: one.text.replace(/&/g, "&amp;").replace(/</g, "&lt;"), showarrow: false, font: {color: color("muted"), size: 11},
      x: one.second, xanchor: "left", xshift: 3, yref: "paper", y: 1, yanchor: "top", yshift: -13 * (index % 3),
    }));
    const overTime = (id, lines, yaxis) => draw(id, lines, {
      hovermode: "x unified", shapes: [...phases, ...moments], annotations: names, yaxis,
      xaxis: {range: padded(first, last), ticksuffix: " s", nticks: 7, tickformat: ",~r", hoverformat: ",~r"},
    });
    const over = (name, hue, values, show, more) =>
      ({...line(name, hue, t.second, values, show, more), hoverinfo: "x+text+name"});
    const holders = [
      overTime("throughput", [over("ok/s", "blue", t.ok, number)], fromZero(t.ok)),
      overTime("latency", [
        over("p50", "blue", t.p50_ms, duration),
        over("p99", "orange", t.p99_ms, duration),
        over("max", "muted", t.max_ms, duration, {width: 1, dash: "4px 3px"}),
      ], decades([...t.p50_ms, ...t.max_ms])),
      overTime("failures", [over("failures/s", "red", t.failures, number)], fromZero(t.failures)),
      overTime("users", [over("users", "green", t.users, number)], fromZero(t.users)),
      ...(life.versions.length ? [overTime("versions", life.versions.map((one, index) => ({
        ...line(one.name, ["blue", "orange", "green", "red", "amber", "muted"][index % 6], life.second, one.rate, number),
        hoverinfo: "x+text+name",
      })), fromZero(life.versions.flatMap(one => one.rate)))] : []),
      ...[
        ["rows-per-batch", "rows", "blue", s.second, s.rows_per_batch],
        ["padding", "padding %", "orange", s.second, s.padding_percent],
        ...s.queries.map(query => ["query-" + query.name, query.name, "green", query.second, query.value]),
      ].filter(([id]) => document.getElementById(id)).map(([id, name, hue, x, y]) =>
        overTime(id, [{...line(name, hue, x, y, number), hoverinfo: "x+text+name"}], fromZero(y))),
    ].filter(holder => holder.on);
    // what is pointed at in one is shown in all: the same second
    for (const holder of holders) {
      const others = holders.filter(other => other !== holder);
      holder.removeAllListeners("plotly_hover").on("plotly_hover", event =>
        others.forEach(other => Plotly.Fx.hover(other, {xval: event.points[0].x}, "xy", true)));
      holder.removeAllListeners("plotly_unhover").on("plotly_unhover", () => others.forEach(other => Plotly.Fx.unhover(other)));
    }
  };

  // the knee: a level is a point on both lines, its sign the verdict
  const drawCapacity = () => {
    const {label, verdict, achieved, p50_ms, p99_ms, bounds} = data.capacity;
    const sign = one => one === "PASS" ? "circle" : one === "open" ? "circle-open" : one.startsWith("FAIL") ? "x" : "diamond-open";
    const points = (name, hue, y) => {
      const hues = verdict.map(one => color(one.startsWith("FAIL") ? "red" : one.startsWith("INVALID") ? "amber" : hue));
      return {
        ...line(name, hue, achieved, y, (ms, at) => `${label[at]}: ${duration(ms)}, ${verdict[at].replace(/</g, "&lt;")}`),
        mode: "lines+markers", marker: {size: 8, symbol: verdict.map(sign), color: hues, line: {width: 1.5, color: hues}},
      };
    };
    const right = Math.max(...achieved);
    draw("capacity", [
      points("p50", "blue", p50_ms),
      points("p99", "orange", p99_ms),
      ...bounds.map(bound => ({
        x: [0, 1.05 * right], y: [bound.ms, bound.ms], mode: "lines", hoverinfo: "skip", showlegend: false,
        line: {color: color("red"), width: 1.5, dash: "5px 4px"},
      })),
    ], {
      hovermode: "closest",
      xaxis: {range: [-0.02 * right, 1.05 * right], fixedrange: true, ticksuffix: "/s", nticks: narrow.matches ? 4 : 8, tickformat: ",~r"},
      yaxis: decades([...p50_ms, ...p99_ms, ...bounds.map(bound => bound.ms)]),
      annotations: bounds.map(bound => ({
        text: bound.label.replace(/&/g, "&amp;").replace(/</g, "&lt;"), showarrow: false, font: {color: color("red")},
        x: 0, xanchor: "left", y: Math.log10(bound.ms), yanchor: "bottom",
      })),
    });
  };

  if (!window.DecompressionStream) {
    document.querySelectorAll(".plot").forEach(holder => { holder.textContent = "Drawn by browsers of 2023 and newer."; });
    return;
  }
  // the library is in the page as base64 of gzip
  const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), char => char.charCodeAt(0));
  const script = document.createElement("script");
  script.textContent = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  document.head.append(script);

  const drawAll = () => { if (data.capacity) drawCapacity(); drawPercentiles(); drawTimeline(); };
  for (const query of [dark, narrow]) query.addEventListener("change", drawAll);
  drawAll();
})();
