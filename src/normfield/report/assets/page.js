(() => {
  "use strict";

  const twins = JSON.parse(document.getElementById("normfield-palette").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const mouse = window.matchMedia("(pointer: fine)");
  const paperWidth = 640;
  const paperHeight = 0.78;

  const recoloured = (value) => {
    if (typeof value === "string") return Object.hasOwn(twins, value) ? twins[value] : value;
    if (Array.isArray(value)) return value.map(recoloured);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, recoloured(item)]));
  };

  // The page has its own title, legend and y title: plain text wraps and never overlaps.
  const onPage = ({ title, ...layout }) => {
    const { title: yTitle, ...yaxis } = layout.yaxis;
    return {
      ...layout,
      showlegend: false,
      height: layout.meta.height,
      margin: { ...layout.margin, l: 0, t: layout.meta.top },
      yaxis,
      dragmode: mouse.matches ? "zoom" : false,
    };
  };

  const plots = [...document.querySelectorAll("figure.plate")].map((frame) => ({
    frame,
    box: frame.querySelector(".plot"),
    figure: JSON.parse(frame.querySelector(".plot-data").textContent),
    hidden: new Set(),
  }));

  const draw = (plot, extra = {}, night = dark.matches) => {
    const tint = night ? recoloured : (value) => value;
    const data = plot.figure.data.map((trace) => ({ ...tint(trace), visible: !plot.hidden.has(trace.legendgroup) }));
    const layout = { ...tint(onPage(structuredClone(plot.figure.layout))), ...extra };
    return Plotly.react(plot.box, data, layout, { displayModeBar: false, responsive: true });
  };

  const toggle = (plot, key) => {
    const shown = key.getAttribute("aria-pressed") === "true";
    key.setAttribute("aria-pressed", String(!shown));
    plot.hidden[shown ? "add" : "delete"](key.dataset.group);
    draw(plot);
  };

  // A picture for slides: the whole figure with title and legend, on white.
  const save = (plot) =>
    Plotly.downloadImage(
      { data: plot.figure.data, layout: { ...structuredClone(plot.figure.layout), paper_bgcolor: "#ffffff" } },
      { format: "png", width: 960, height: plot.figure.layout.height + 40, scale: 2, filename: "normfield" },
    );

  for (const plot of plots) {
    draw(plot);
    for (const key of plot.frame.querySelectorAll(".key")) key.addEventListener("click", () => toggle(plot, key));
    plot.frame.querySelector(".save").addEventListener("click", () => save(plot));
  }

  // Paper is light: the reader's dark scheme ends with printing, and that event may come after the plots were fitted.
  let onPaper = false;
  dark.addEventListener("change", () => onPaper || plots.forEach((plot) => draw(plot)));
  window.addEventListener("beforeprint", () => {
    onPaper = true;
    plots.forEach((plot) => {
      const height = paperHeight * plot.figure.layout.meta.height;
      draw(plot, { width: paperWidth, height, autosize: false }, false);
    });
  });
  window.addEventListener("afterprint", () => {
    onPaper = false;
    plots.forEach((plot) => draw(plot));
  });
})();
