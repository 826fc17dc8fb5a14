'use strict';
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const report = data.report;
  const element = (name, text, className) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };
  const add = (parent, ...children) => { children.forEach((child) => parent.appendChild(child)); return parent; };

  // What a reader must know first.
  const warnings = document.getElementById('warnings');
  [...report.warnings, ...data.failures.map((failure) => 'FAILED: ' + failure)]
    .forEach((text) => add(warnings, element('div', text, 'warning')));

  // The headline cases on the farthest network.
  const tiles = document.querySelector('#summary .tiles');
  const seconds = (value) => (value < 1 ? Math.round(value * 1000) + ' ms' : value.toFixed(1) + ' s');
  const figure = (network, scenario, via) =>
    report.figures.find((one) => one.network === network && one.scenario === scenario && one.via === via);
  report.figures.filter((one) => one.focus === 'duration' && one.via === 'http' && one.summary).forEach((ours) => {
    const theirs = figure(ours.network, ours.scenario, 'crate');
    const tile = element('div', undefined, 'tile');
    add(tile, element('span', ours.network), element('b', seconds(ours.summary.seconds.median)), element('span', ours.title + '. '));
    if (theirs && theirs.summary) {
      const times = ours.summary.jobs_per_second.median / theirs.summary.jobs_per_second.median;
      add(tile, element('span', 'faktory crate: ' + (theirs.summary.cut_short ? 'not done after ' : '') + seconds(theirs.summary.seconds.median) +
        ' (' + times.toPrecision(3) + ' × the jobs a second)'));
    }
    add(tiles, tile);
  });
  if (!tiles.children.length) document.getElementById('summary').remove();

  // Charts. Ours are full lines, baselines dashed, so that they differ without colour too.
  const ours = ['#0b6e4f', '#2a6fb0', '#7a4fa3', '#5d7a00', '#0097a7'];
  const theirs = '#b3541e';
  const percentile = (nines) => {
    const value = 100 * (1 - Math.pow(10, -nines));
    return nines >= 4.9 ? 'max' : (nines < 0.01 ? 'the fastest' : parseFloat(value.toFixed(Math.max(0, Math.ceil(nines) - 1))) + ' %');
  };
  const axis = (label, type, more) => Object.assign({ type, title: { display: true, text: label } }, more);
  const plain = { ticks: { callback: (value) => (Math.log10(value) % 1 === 0 || /^[25]/.test(String(value)) ? Number(value).toLocaleString('en') : '') } };
  // Whole decades, so that a steep line looks steep.
  const decades = (values) => ({ min: Math.pow(10, Math.floor(Math.log10(Math.min(...values)) + 1e-9)), max: Math.pow(10, Math.ceil(Math.log10(Math.max(...values)) - 1e-9)) });
  const widened = ({ min, max }) => (min === max ? { min: min / 10, max: max * 10 } : { min, max });
  data.charts.forEach((chart) => {
    const points = chart.series.flatMap((series) => series.points);
    const canvas = element('canvas');
    canvas.id = chart.id;
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', chart.title);
    const holder = element('figure');
    add(holder, element('figcaption', chart.title), add(element('div'), canvas));
    add(document.querySelector('#' + chart.section + ' .charts'), holder);
    const isBars = typeof chart.axes === 'object';
    const isTime = chart.axes === 'time';
    const labels = [];
    const datasets = chart.series.map((series, at) => {
      const color = series.is_baseline ? theirs : ours[at % ours.length];
      series.labels.forEach((label, point) => { labels[series.points[point][0]] = label; });
      return {
        label: series.name,
        data: series.points.map(([x, y]) => ({ x, y })),
        borderColor: color,
        backgroundColor: color,
        borderDash: series.is_baseline ? [6, 4] : [],
        pointStyle: series.is_baseline ? 'rect' : 'circle',
        pointRadius: isTime ? 0 : 4,
        borderWidth: isBars ? 0 : 2,
        base: isBars ? 1 : undefined,
      };
    });
    const x = isBars
      ? axis(chart.x_label, 'linear', { min: -0.5, max: chart.axes.bars.names - 0.5, offset: false, grid: { display: false },
          afterBuildTicks: (scale) => { scale.ticks = labels.map((_, value) => ({ value })); },
          ticks: { autoSkip: false, maxRotation: 60, callback: (value) => labels[value] || '' } })
      : isTime
        ? axis(chart.x_label, 'linear', { min: 0 })
      : chart.axes === 'percentiles'
        ? axis(chart.x_label, 'linear', { min: 0, afterBuildTicks: (scale) => { scale.ticks = [0.30103, 1, 2, 3, 4, 5].filter((v) => v <= scale.max).map((value) => ({ value })); },
            ticks: { autoSkip: false, callback: percentile } })
        : axis(chart.x_label, 'logarithmic', Object.assign({}, plain, widened(decades(points.map((point) => point[0])))));
    new Chart(canvas, {
      type: isBars ? 'bar' : 'line',
      data: { datasets },
      options: {
        animation: false,
        responsive: true,
        maintainAspectRatio: false,
        grouped: true,
        interaction: { mode: 'nearest', intersect: false },
        scales: { x, y: isTime ? axis(chart.y_label, 'linear', { min: 0 }) : axis(chart.y_label, 'logarithmic', Object.assign({}, plain, widened(decades(points.map((point) => point[1]).concat(isBars ? [1] : []))))) },
        plugins: {
          legend: { labels: { usePointStyle: true, pointStyleWidth: 24 } },
          tooltip: { callbacks: {
            title: (items) => (items.length === 0 ? '' : isBars ? labels[items[0].parsed.x] : chart.axes === 'percentiles' ? percentile(items[0].parsed.x) : items[0].parsed.x.toPrecision(3) + (isTime ? ' s' : ' ms')),
            label: (item) => item.dataset.label + ': ' + Number(item.parsed.y.toPrecision(4)).toLocaleString('en') + ' ' + chart.y_label,
          } },
        },
      },
    });
  });
  ['ratios', 'throughput', 'latency', 'timelines'].forEach((section) => {
    const part = document.getElementById(section);
    if (!part.querySelector('figure')) part.remove();
  });

  // The table.
  const tables = document.querySelector('#table .tables');
  report.networks.forEach((network) => {
    add(tables, element('h3', network.name + ': ' + network.title + '; a round trip took ' + network.round_trip_ms.toFixed(1) + ' ms'));
    const table = element('table');
    const head = element('tr');
    ['scenario', 'via', 'jobs/s', 'lowest – highest', 'p50', 'p99', 'processor µs a job', 'against the crate'].forEach((text) => add(head, element('th', text)));
    add(table, head);
    data.rows.filter((row) => row.network === network.name).forEach((row) => {
      const line = element('tr', undefined, row.is_baseline ? 'baseline' : '');
      const name = element('td', row.scenario);
      name.title = row.title;
      add(line, name, element('td', row.via));
      row.cells.forEach((cell, at) => add(line, element('td', cell, at === 4 ? '' : 'number')));
      add(table, line);
    });
    add(tables, table);
  });

  // On what.
  const conditions = document.querySelector('#conditions table');
  const machine = report.machine;
  const means = { namespaces: 'two network namespaces and a packet relay' + (report.distance.realtime ? ', real-time' : ', without real-time priority'),
    proxy: 'a TCP proxy that delays bytes (' + (report.distance.because || '') + ')', given: 'the network as it is' }[report.distance.kind];
  const congestion = report.congestion ? 'near ' + report.congestion.near + ', far ' + report.congestion.far : machine.default_congestion_control;
  const parameters = report.parameters;
  [
    ['Began', report.began + ', took ' + Math.round(report.took_seconds) + ' s'],
    ['Machine', machine.processor + ', ' + machine.cores + ' cores, ' + machine.memory_mib + ' MiB'],
    ['Kernel', machine.kernel],
    ['Congestion control', congestion],
    ['Work server', report.work_server],
    ['Distance', means],
    ['Program', 'Work Factory ' + machine.version + ', commit ' + machine.commit + ', ' + machine.build + ' build'],
    ['Baseline', 'faktory crate ' + machine.faktory_crate],
    ['Parameters', JSON.stringify(parameters)],
    ['Command', report.command.join(' ')],
  ].forEach(([name, value]) => add(conditions, add(element('tr'), element('th', name), element('td', value))));
})();
