// The interactive timeline as a widget: shown again when its data change.

export default {
  render({model, el}) {
    const box = el.appendChild(made("div", {class: "rt-timeline"})), kept = {};
    let shown = show(box, model.get("data"), kept);
    const changed = () => {
      if (shown.update(model.get("data"))) return;
      shown.end();
      delete kept.audio;
      delete box.dataset.at;
      shown = show(box, model.get("data"), kept);
    };
    model.on("change:data", changed);
    return () => { model.off("change:data", changed); shown.end(); };
  },
};
