// Plotly takes the place of the plots as they come into view. Where it can't, they stay as drawn.
(() => {
  "use strict";
  const packed = document.getElementById("plotly");
  if (!packed || !("DecompressionStream" in window && "IntersectionObserver" in window)) return;

  const unpack = async () => {
    const bytes = Uint8Array.from(atob(packed.textContent), (each) => each.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    return window.Plotly;
  };
  let library;
  const plotly = () => (library ??= unpack());

  // "var(--ink)/0.2" as the page's colour is now.
  const coloured = (value, style) => {
    if (Array.isArray(value)) return value.map((each) => coloured(each, style));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, coloured(v, style)]));
    }
    const found = /^var\((--\w+)\)(?:\/([\d.]+))?$/.exec(value);
    if (!found) return value;
    const alpha = Math.round(255 * (found[2] ?? 1)).toString(16).padStart(2, "0");
    return style.getPropertyValue(found[1]).trim() + alpha;
  };

  const shapes = new WeakMap(); // of the plots as drawn: height over width
  const draw = async (plot) => {
    const spec = JSON.parse(document.querySelector(`[data-for="${plot.id}"]`).textContent);
    const { data, layout } = coloured(spec, getComputedStyle(document.documentElement));
    const { width, height } = plot.querySelector("svg").viewBox.baseVal;
    shapes.set(plot, height / width);
    const Plotly = await plotly();
    layout.width = plot.clientWidth;
    layout.height = Math.max(230, Math.round(plot.clientWidth * shapes.get(plot)));
    layout.font.family = getComputedStyle(document.body).fontFamily;
    // A finger scrolls the page, it draws no box.
    layout.dragmode = matchMedia("(pointer: coarse)").matches ? false : "zoom";
    let target = plot.querySelector(":scope > .drawn");
    if (!target) {
      target = document.createElement("div");
      target.className = "drawn";
      target.setAttribute("role", "img");
      target.setAttribute("aria-label", plot.querySelector("svg").getAttribute("aria-label"));
      plot.append(target);
    }
    await Plotly.react(target, data, layout, { displayModeBar: false, scrollZoom: false });
    plot.classList.add("live");
  };

  const live = () => document.querySelectorAll(".plot.live");
  const failed = (error) => console.warn("Plots stay as drawn:", error);
  const watcher = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      draw(target).catch(failed);
    }
  }, { rootMargin: "300px" });
  document.querySelectorAll(".plot").forEach((plot) => watcher.observe(plot));

  const again = () => live().forEach((plot) => draw(plot).catch(failed));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  let last = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== last) again();
    last = innerWidth;
  });
})();
