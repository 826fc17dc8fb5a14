'use strict';

// Shows what the benchmark has prepared: texts, ranges, ticks and places are all in the data.
(() => {
  // Not of our own: lines that are dashed, so that they differ without colour too.
  const DASHED = ['crate', 'cut'];
  const TABLE_HEAD = [
    ['scenario', ''],
    ['way', ''],
    ['jobs/s', 'number'],
    ['lowest – highest', 'number'],
    ['p50', 'number'],
    ['p99', 'number'],
    ['processor µs a job', ''],
    ['against the crate', 'number'],
  ];

  const find = (selector) => document.querySelector(selector);

  /** An element with a class, and children that are elements or texts. */
  const element = (name, className, ...children) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...children);
    return made;
  };

  const removeEmpty = (selector, content) => {
    const section = find(selector);
    if (!section.querySelector(content)) section.remove();
  };

  const showWarnings = (warnings) => {
    find('#warnings').append(...warnings.map((text) => element('div', 'warning', text)));
  };

  const showHighlights = (highlights) => {
    const tile = ({ over, value, text, standing }) => element('div', `tile ${standing || ''}`,
      element('span', '', over), element('b', '', value), element('span', '', `${text}.`));
    find('#highlights .tiles').append(...highlights.map(tile));
    removeEmpty('#highlights', '.tile');
  };

  /** A colour of the style sheet, which knows whether the page is light or dark. */
  const colour = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  /** Chart.js's settings of one axis. */
  const scale = (axis) => ({
    type: axis.scale,
    min: axis.min,
    max: axis.max,
    title: { display: true, text: axis.label, color: colour('soft') },
    grid: { color: colour('line') },
    border: { color: colour('line') },
    afterBuildTicks: (made) => { made.ticks = axis.ticks.map(({ at }) => ({ value: at })); },
    ticks: {
      autoSkip: false,
      maxRotation: 0,
      color: colour('soft'),
      callback: (_, place) => axis.ticks[place].label,
    },
  });

  const dataset = (series) => ({
    label: series.name,
    data: series.points.map(([x, y]) => ({ x, y })),
    borderColor: colour(series.look),
    backgroundColor: colour(series.look),
    borderDash: DASHED.includes(series.look) ? [6, 4] : [],
    borderWidth: 2,
    pointStyle: DASHED.includes(series.look) ? 'rect' : 'circle',
    pointRadius: series.labels.length ? 4 : 0,
    clip: false,
  });

  /** What is said of the point under the pointer. */
  const tooltip = ({ x, y, series }) => ({
    title: ([item]) => {
      if (!item) return '';
      const label = series[item.datasetIndex].labels[item.dataIndex];
      return label || `${item.parsed.x.toPrecision(3)} ${x.label}`;
    },
    label: ({ dataset: { label }, parsed }) =>
      `${label}: ${Number(parsed.y.toPrecision(4)).toLocaleString('en')} ${y.label}`,
  });

  const drawLines = (canvas, drawing) => new Chart(canvas, {
    type: 'line',
    data: { datasets: drawing.series.map(dataset) },
    options: {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      interaction: { mode: 'nearest', intersect: false },
      scales: { x: scale(drawing.x), y: scale(drawing.y) },
      plugins: { legend: { display: false }, tooltip: { callbacks: tooltip(drawing) } },
    },
  });

  const barsOf = ({ bars }) => {
    const percent = (share) => `${100 * share}%`;
    const parts = bars.flatMap(({ name, look, text, from, to }) => {
      const bar = element('div', `bar ${look}`);
      bar.style.left = percent(from);
      bar.style.width = percent(to - from);
      const label = element('div', 'name', name);
      return [label, element('div', 'track', bar), element('div', `value ${look}`, text)];
    });
    return element('div', 'bars', ...parts);
  };

  const legendOf = ({ legend, drawing }) =>
    element('ul', drawing.form === 'bars' ? 'legend of-bars' : 'legend',
      ...legend.map(({ look, text }) => element('li', look, text)));

  /** Adds a chart's figure to the page; lines are drawn later, by the function that it returns. */
  const addFigure = (chart) => {
    const holder = element('figure', '', element('figcaption', '', chart.title));
    holder.id = chart.id;
    find(`#${chart.section} .charts`).append(holder);
    if (chart.drawing.form === 'bars') {
      holder.append(barsOf(chart.drawing), legendOf(chart));
      return null;
    }
    const canvas = element('canvas');
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', chart.title);
    holder.append(element('div', 'canvas', canvas), legendOf(chart));
    return () => drawLines(canvas, chart.drawing);
  };

  const showCharts = (charts) => {
    const drawings = charts.map(addFigure).filter((draw) => draw);
    ['ratios', 'throughput', 'networks', 'latency', 'timelines', 'depths']
      .forEach((section) => removeEmpty(`#${section}`, 'figure'));
    let drawn = drawings.map((draw) => draw());
    // Chart.js has drawn with the colours of before.
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      drawn.forEach((chart) => chart.destroy());
      drawn = drawings.map((draw) => draw());
    });
  };

  const rowOf = (row) => element('tr', row.is_baseline ? 'crate' : '',
    element('td', '', row.scenario, element('small', '', row.title)),
    element('td', '', row.via),
    ...row.numbers.map((text) => element('td', 'number', text)),
    element('td', '', row.processor),
    element('td', `number standing ${row.standing || ''}`, row.ratio));

  const tableOf = (table) => {
    const head = TABLE_HEAD.map(([text, className]) => element('th', className, text));
    return [
      element('h3', '', table.network),
      element('p', '', table.title),
      element('div', 'scroll', element('table', '',
        element('thead', '', element('tr', '', ...head)),
        element('tbody', '', ...table.rows.map(rowOf)))),
    ];
  };

  const showTables = (tables) => {
    find('#tables .content').append(...tables.flatMap(tableOf));
  };

  const showConditions = (conditions) => {
    const row = ([name, value]) =>
      element('tr', '', element('th', '', name), element('td', '', value));
    find('#conditions table').append(...conditions.map(row));
  };

  const data = JSON.parse(find('#data').textContent);
  showWarnings(data.warnings);
  showHighlights(data.highlights);
  showCharts(data.charts);
  showTables(data.tables);
  showConditions(data.conditions);
})();
