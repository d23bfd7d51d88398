// Draws the plots from the JSON in the page. Colours come from the style sheet, so light and dark need no second list.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const style = getComputedStyle(document.documentElement);
  const color = name => style.getPropertyValue("--" + name).trim();
  const number = value => value == null ? "–" : Number(value.toPrecision(4)).toLocaleString("en-US", {maximumFractionDigits: 6});
  const ms = value => value == null ? "–" : number(value) + " ms";
  const percentile = nines => Number((100 * (1 - Math.pow(10, -nines))).toFixed(Math.max(0, Math.ceil(nines) - 1))) + " %";
  const FONT = "12px system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";
  let plots = [];

  const line = (label, name, value, more = {}) =>
    ({label, stroke: color(name), width: 1.75, points: {show: false}, value: (_, v) => value(v), ...more});

  const axis = more => ({
    stroke: color("muted"), font: FONT, grid: {stroke: color("line"), width: 1},
    ticks: {show: false}, ...more,
  });
  const left = values => axis({size: 58, gap: 6, values: (_, splits) => splits.map(v => v == null ? "" : values(v))});

  // from the first to the last decade that is used, at least one
  const decades = (_, low, high) => {
    if (low == null || !(high > 0)) return [0.1, 10];
    const least = Math.max(low, 1e-3);
    const from = Math.pow(10, Math.floor(Math.log10(least) * 3) / 3), to = Math.pow(10, Math.ceil(Math.log10(high * 1.02) * 3) / 3);
    return [from, Math.max(to, from * 4)];
  };
  // 1, 2, 5, 10... of the decades shown; only powers of ten if these are many
  const logSplits = (u, at, low, high) => {
    const splits = [], steps = high / low > 1e4 ? [1] : [1, 2, 5];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
      for (const step of steps) {
        const value = Number((step * Math.pow(10, power)).toPrecision(1));
        if (value >= low && value <= high) splits.push(value);
      }
    return splits;
  };
  const logMs = {distr: 3, log: 10, range: decades};
  const leftMs = {...left(v => v < 1000 ? number(v) + " ms" : number(v / 1000) + " s"), splits: logSplits, filter: (_, splits) => splits};
  const fromZero = {range: (_, low, high) => [0, high > 0 ? high * 1.08 : 1]};

  // the bounds of the objectives, over the lines: where the curve crosses the dashes is where the objective breaks
  const bounds = {hooks: {draw: u => {
    const ctx = u.ctx, ratio = devicePixelRatio;
    ctx.save();
    ctx.font = `${12 * ratio}px system-ui, 'DejaVu Sans', sans-serif`;
    for (const [index, bound] of data.percentiles.bounds.entries()) {
      if (bound.nines > u.scales.x.max || bound.ms < u.scales.y.min || bound.ms > u.scales.y.max) continue;
      const x = u.valToPos(bound.nines, "x", true), y = u.valToPos(bound.ms, "y", true);
      ctx.strokeStyle = ctx.fillStyle = color("red");
      ctx.lineWidth = 1.5 * ratio;
      ctx.setLineDash([5 * ratio, 4 * ratio]);
      ctx.beginPath(); ctx.moveTo(u.bbox.left, y); ctx.lineTo(x, y); ctx.lineTo(x, u.bbox.top + u.bbox.height); ctx.stroke();
      ctx.setLineDash([]);
      // at the foot, where the curve is far above; on the side that has room
      const roomy = x + ctx.measureText(bound.label).width + 12 * ratio < u.bbox.left + u.bbox.width;
      ctx.textAlign = roomy ? "left" : "right";
      ctx.fillText(bound.label, x + (roomy ? 6 : -6) * ratio, u.bbox.top + u.bbox.height - (8 + 15 * index) * ratio);
    }
    ctx.restore();
  }}};

  // warm-up and drain, beneath the lines
  const phases = {hooks: {drawClear: u => {
    u.ctx.fillStyle = color("shade");
    for (const [from, to] of [[-Infinity, data.timeline.warmup_s], [data.timeline.load_end_s, Infinity]]) {
      const low = Math.max(from, u.scales.x.min), high = Math.min(to, u.scales.x.max);
      if (high <= low) continue;
      const x = u.valToPos(low, "x", true);
      u.ctx.fillRect(x, u.bbox.top, u.valToPos(high, "x", true) - x, u.bbox.height);
    }
  }}};

  const draw = (id, height, columns, options) => {
    const holder = document.getElementById(id);
    if (!columns[0].length || !columns[1].length) {
      holder.innerHTML = '<p class="muted">Nothing was measured.</p>';
      return;
    }
    const plot = new uPlot({width: holder.clientWidth, height, legend: {live: true}, ...options}, columns, holder);
    plots.push([plot, holder, height]);
  };

  const overTime = (id, series, columns, scale, leftAxis) => draw(id, 190, [data.timeline.second, ...columns], {
    scales: {x: {time: false}, y: scale},
    axes: [axis({size: 26, space: 60, values: (_, splits) => splits.map(v => number(v) + " s")}), leftAxis],
    series: [{label: "at", value: (_, v) => v == null ? "–" : number(v) + " s"}, ...series],
    cursor: {sync: {key: "time"}, y: false},
    plugins: [phases],
  });

  const drawAll = () => {
    for (const [plot] of plots) plot.destroy();
    plots = [];
    document.querySelectorAll(".plot").forEach(holder => { holder.innerHTML = ""; });
    const p = data.percentiles, t = data.timeline;
    const narrow = innerWidth < 720;
    draw("percentiles", narrow ? 260 : 340, [p.nines, p.response_ms, p.service_ms], {
      scales: {x: {time: false, range: [0, Math.max(1, p.nines[p.nines.length - 1])]},
               y: {...logMs, range: (u, low, high) => decades(u, low, Math.max(high, ...p.bounds.map(b => b.ms)))}},
      axes: [axis({size: 30, splits: u => [0, ...(narrow ? [] : [Math.log10(2)]), ...Array.from({length: Math.floor(u.scales.x.max)}, (_, i) => i + 1)],
                   values: (_, splits) => splits.map(v => narrow ? percentile(v).replace(" %", "") : percentile(v))}), leftMs],
      series: [{label: "percentile", value: (_, v) => v == null ? "–" : percentile(v)},
               line("response time", "blue", ms), line("service time", "orange", ms, {dash: [6, 3]})],
      cursor: {y: false},
      plugins: [bounds],
    });
    overTime("throughput", [line("ok/s", "blue", number)], [t.ok], fromZero, left(number));
    overTime("latency", [line("p50", "blue", ms), line("p99", "orange", ms), line("max", "muted", ms, {width: 1, dash: [4, 3]})],
             [t.p50_ms, t.p99_ms, t.max_ms], logMs, leftMs);
    overTime("failures", [line("failures/s", "red", number)], [t.failures], fromZero, left(number));
    overTime("users", [line("users", "green", number)], [t.users], fromZero, left(number));
  };

  drawAll();
  new ResizeObserver(() => {
    for (const [plot, holder, height] of plots)
      if (plot.width !== holder.clientWidth) plot.setSize({width: holder.clientWidth, height});
  }).observe(document.querySelector("main"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
})();
