// After the page's own scripts: what the page shows, and where, as JSON in an element of its own.
'use strict';
window.addEventListener('load', () => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const text = (selector, within) => within.querySelector(selector).textContent;
  const box = (element) => {
    const { left, right, top, bottom } = element.getBoundingClientRect();
    return { left, right, top, bottom };
  };
  const style = (element, name, part) => getComputedStyle(element, part)[name];

  // The library writes a label below or beside its tick, in the middle.
  const ticks = (chart, scale) => scale.ticks.map(({ label }, at) => {
    const { size, family } = Chart.defaults.font;
    chart.ctx.font = `${size}px ${family}`;
    const half = scale.isHorizontal() ? chart.ctx.measureText(label).width / 2 : size * 0.6;
    const middle = scale.getPixelForTick(at);
    return { label, from: middle - half, to: middle + half };
  });
  const axis = (chart, scale) => ({
    min: scale.min,
    max: scale.max,
    rotation: scale.labelRotation || 0,
    colour: scale.options.ticks.color,
    room: scale.isHorizontal() ? chart.width : chart.height,
    ticks: ticks(chart, scale),
  });
  const series = (chart, dataset, at) => {
    const { x, y } = chart.scales;
    const { left, right, top, bottom } = chart.chartArea;
    const drawn = chart.getDatasetMeta(at).data;
    return {
      name: dataset.label,
      colour: dataset.borderColor,
      points: dataset.data.map((point) => [point.x, point.y]),
      // The value that stands where the point was drawn.
      drawn: drawn.map((point) => [x.getValueForPixel(point.x), y.getValueForPixel(point.y)]),
      inside: drawn.every((point) => point.x >= left - 1 && point.x <= right + 1
        && point.y >= top - 1 && point.y <= bottom + 1),
    };
  };
  const lines = (canvas) => {
    const chart = Chart.getChart(canvas);
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return {
      inked: data.some((value) => value !== 0),
      x: axis(chart, chart.scales.x),
      y: axis(chart, chart.scales.y),
      series: chart.data.datasets.map((dataset, at) => series(chart, dataset, at)),
    };
  };
  const bars = (holder) => all('.track', holder).map((track) => {
    const bar = track.firstChild;
    const space = box(track);
    const share = (at) => (at - space.left) / (space.right - space.left);
    return {
      name: track.previousSibling.textContent,
      text: track.nextSibling.textContent,
      look: bar.classList[1],
      colour: style(bar, 'backgroundColor'),
      from: share(box(bar).left),
      to: share(box(bar).right),
    };
  });
  const figure = (holder) => {
    const canvas = holder.querySelector('canvas');
    return {
      id: holder.id,
      box: box(holder),
      drawing: box(holder.querySelector('canvas, .bars')),
      legend: all('.legend li', holder).map((entry) => ({
        text: entry.textContent,
        look: entry.className,
        colour: style(entry, 'borderTopColor', '::before'),
        size: parseFloat(style(entry, 'fontSize')),
        box: box(entry),
      })),
      lines: canvas && lines(canvas),
      bars: canvas ? null : bars(holder),
    };
  };

  const tile = (element) => ({
    over: text('span', element),
    value: text('b', element),
    text: text('span:last-child', element),
    standing: element.classList[1] || '',
    colour: style(element.querySelector('b'), 'color'),
  });
  const row = (element) => ({
    network: element.closest('.scroll').previousSibling.previousSibling.textContent,
    scenario: element.cells[0].firstChild.textContent,
    cells: [...element.cells].slice(1).map((cell) => cell.textContent),
    standing: element.lastChild.classList[2] || '',
  });
  const found = {
    wrong: window.wrong,
    is_dark: matchMedia('(prefers-color-scheme: dark)').matches,
    width: [document.documentElement.scrollWidth, window.innerWidth],
    scrolled: all('.scroll').filter((one) => one.scrollWidth > one.clientWidth).length,
    ground: style(document.body, 'backgroundColor'),
    ink: style(document.body, 'color'),
    soft: style(document.querySelector('p'), 'color'),
    empty: all('section').filter((one) => !one.querySelector('figure, td, .tile'))
      .map((one) => one.id),
    warnings: all('.warning').map((one) => one.textContent),
    tiles: all('.tile').map(tile),
    figures: all('figure').map(figure),
    rows: all('#tables tbody tr').map(row),
  };
  const result = document.createElement('pre');
  result.id = 'probe';
  result.textContent = JSON.stringify(found);
  document.body.append(result);
});
