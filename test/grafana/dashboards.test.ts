/** The shipped dashboards: Grafana's own schema, our conventions, and queries that name what there is. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv, type ValidateFunction } from 'ajv';
import { createGenerator } from 'ts-json-schema-generator';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { errorCategories } from '../../src/callback/exception.ts';
import { categoryColors, colors } from '../../src/grafana/dashboards/colors.ts';
import { dashboardUids } from '../../src/grafana/dashboards/uids.ts';
import { toLogRecord, toSpan } from '../../src/telemetry/mapping.ts';
import { type Json, lint, panelsOf, substitute } from './dashboard-lint.ts';
import { knownSeries, promtoolCheckQueries, readPromql } from './inventory.ts';

const grafana = join(import.meta.dirname, '../../grafana');
const types = join(import.meta.dirname, '../../node_modules/@grafana/schema/dist/types');
const uids = Object.values(dashboardUids);

function readAll(folder: string): Record<string, Json> {
  const read = (uid: string) => JSON.parse(readFileSync(join(grafana, folder, `${uid}.json`), 'utf8'));
  return Object.fromEntries(uids.map(uid => [uid, read(uid)]));
}

const classic = readAll('dashboards');
const v2 = readAll('dashboards-v2');

/** A copy with a mistake planted in it. */
function planted(uid: string, plant: (dashboard: Json) => void): Json {
  const copy = structuredClone(classic[uid]);
  plant(copy);
  return copy;
}

const panelCalled = (dashboard: Json, title: string): Json => {
  const panel = dashboard.panels.find((one: Json) => one.title === title);
  assert.ok(panel, title);
  return panel;
};

const promqlOf = (dashboard: Json): string[] =>
  [
    ...panelsOf(dashboard).flatMap(panel =>
      panel.targets.filter((one: Json) => one.datasource.type === 'prometheus'),
    ),
    ...dashboard.annotations.list,
  ].map(({ expr }) => expr);

/** Made from the types that Grafana publishes. Keys that these do not name are refused. */
function schemaOf(path: string, type: string): ValidateFunction {
  const schema = createGenerator({
    path: join(types, path),
    type,
    skipTypeCheck: true,
    additionalProperties: false,
  }).createSchema(type);
  return new Ajv({ strict: false, allErrors: true }).compile(schema);
}

function problemsOf(validate: ValidateFunction, value: Json): string[] {
  validate(value);
  return (validate.errors ?? []).map(
    ({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
  );
}

/** Annotations hold their data source's own keys, which Grafana's types leave open. */
function withoutAnnotationQueries(dashboard: Json): Json {
  const copy = structuredClone(dashboard);
  for (const annotation of copy.annotations.list) {
    for (const key of ['expr', 'step', 'titleFormat', 'textFormat', 'useValueForTime'])
      delete annotation[key];
  }
  return copy;
}

const schema = suite('dashboards, schema');

schema('classic ones are as Grafana’s types say, which refuse what they do not know', () => {
  const validate = schemaOf('raw/dashboard/x/types.gen.d.ts', 'Dashboard');
  for (const uid of uids) assert.equal(problemsOf(validate, withoutAnnotationQueries(classic[uid])), [], uid);
  const wrong = withoutAnnotationQueries(classic[uids[0]!]);
  wrong.panels[1].gridPos.w = 'wide';
  assert.ok(problemsOf(validate, wrong).some(problem => problem.includes('/gridPos/w must be number')));
  const unknown = { ...withoutAnnotationQueries(classic[uids[0]!]), pannels: [] };
  assert.ok(problemsOf(validate, unknown).some(problem => problem.includes('pannels')));
});

schema('v2 ones are resources of dashboard.grafana.app/v2, as Grafana’s types say', () => {
  const validate = schemaOf('schema/dashboard/v2/types.spec.gen.d.ts', 'Spec');
  for (const uid of uids) {
    const { apiVersion, kind, metadata, spec } = v2[uid];
    assert.equal(
      { apiVersion, kind, metadata },
      { apiVersion: 'dashboard.grafana.app/v2', kind: 'Dashboard', metadata: { name: uid } },
    );
    assert.equal(problemsOf(validate, spec), [], uid);
  }
  const wrong = structuredClone(v2[uids[0]!].spec);
  wrong.elements['panel-2'].spec.vizConfig.kind = 'stat';
  assert.ok(problemsOf(validate, wrong).length > 0);
});

schema('a file is there for every uid, and no other', () => {
  for (const folder of ['dashboards', 'dashboards-v2']) {
    assert.equal(readdirSync(join(grafana, folder)).sort(), uids.map(uid => `${uid}.json`).sort());
  }
  for (const uid of uids) assert.is(classic[uid].uid, uid);
});

schema('v2 and classic show the same panels, queries, places and variables', () => {
  for (const uid of uids) {
    const { spec } = v2[uid];
    const rows = classic[uid].panels.filter((panel: Json) => panel.type === 'row');
    assert.equal(
      spec.layout.spec.rows.map((row: Json) => row.spec.title),
      rows.map(({ title }: Json) => title),
    );
    for (const panel of panelsOf(classic[uid])) {
      const element = spec.elements[`panel-${panel.id}`].spec;
      assert.is(element.title, panel.title);
      assert.is(element.description, panel.description);
      assert.is(element.vizConfig.group, panel.type);
      assert.equal(element.vizConfig.spec, { options: panel.options, fieldConfig: panel.fieldConfig });
      assert.equal(
        element.data.spec.queries.map(({ spec }: Json) => [
          spec.refId,
          spec.query.datasource.name,
          spec.query.spec.expr ?? spec.query.spec.query,
          spec.query.spec.legendFormat,
          spec.query.spec.instant ?? undefined,
        ]),
        panel.targets.map((target: Json) => [
          target.refId,
          target.datasource.uid,
          target.expr ?? target.query,
          target.legendFormat,
          target.instant ?? (target.datasource.type === 'prometheus' ? false : undefined),
        ]),
      );
      assert.equal(
        element.data.spec.transformations.map(({ group, spec }: Json) => [group, spec.options]),
        (panel.transformations ?? []).map(({ id, options }: Json) => [id, options]),
      );
    }
    assert.is(Object.keys(spec.elements).length, panelsOf(classic[uid]).length);
    assert.equal(
      spec.variables.map((one: Json) => one.spec.name),
      classic[uid].templating.list.map(({ name }: Json) => name),
    );
    for (const { spec: variable } of spec.variables)
      assert.not.equal(variable.refresh, 'never', variable.name);
    const items = spec.layout.spec.rows.flatMap((row: Json) => row.spec.layout.spec.items);
    assert.equal(
      items.map(({ spec }: Json) => [spec.element.name, spec.x, spec.width, spec.height]),
      panelsOf(classic[uid]).map(({ id, gridPos }) => [`panel-${id}`, gridPos.x, gridPos.w, gridPos.h]),
    );
  }
});

schema.run();

const conventions = suite('dashboards, conventions');

conventions('hold on every dashboard', () => {
  assert.equal(
    uids.flatMap(uid => lint(classic[uid], classic)),
    [],
  );
});

const aGraph = 'Exceptions per minute by category';
const aTable = 'Which codes are new since yesterday?';
const target = (dashboard: Json, title = aGraph): Json => panelCalled(dashboard, title).targets[0];

/** One mistake each, and what is said of it. */
const mistakes: [what: string, plant: (dashboard: Json) => void, complaint: RegExp][] = [
  [
    'an editable dashboard',
    d => {
      d.editable = true;
    },
    /editable/,
  ],
  [
    'another schema',
    d => {
      d.schemaVersion = 36;
    },
    /schemaVersion/,
  ],
  [
    'no refresh',
    d => {
      delete d.refresh;
    },
    /refresh/,
  ],
  [
    'no shared crosshair',
    d => {
      d.graphTooltip = 0;
    },
    /crosshair/,
  ],
  [
    'no tag',
    d => {
      d.tags = [];
    },
    /tag/,
  ],
  [
    'no menu',
    d => {
      d.links = [];
    },
    /menu/,
  ],
  [
    'a menu that Grafana 12 does not draw',
    d => {
      d.links[0].placement = 'inControlsMenu';
    },
    /menu/,
  ],
  [
    'no annotation',
    d => {
      d.annotations.list.pop();
    },
    /Exporter versions/,
  ],
  [
    'no data-source variable',
    d => {
      d.templating.list.shift();
    },
    /data source/,
  ],
  [
    'a variable of one value',
    d => {
      d.templating.list[1].multi = false;
    },
    /not multi/,
  ],
  [
    'a variable that never refreshes',
    d => {
      d.templating.list[1].refresh = 0;
    },
    /never refreshed/,
  ],
  [
    'an interval’s keys',
    d => {
      d.templating.list[1].auto = false;
    },
    /interval/,
  ],
  [
    'no panel id',
    d => {
      delete d.panels[1].id;
    },
    /id of its own/,
  ],
  [
    'the same id twice',
    d => {
      d.panels[1].id = d.panels[2].id;
    },
    /id of its own/,
  ],
  [
    'overlapping panels',
    d => {
      d.panels[2].gridPos.x -= 1;
    },
    /overlaps/,
  ],
  [
    'a panel outside the grid',
    d => {
      d.panels[6].gridPos.w = 30;
    },
    /24 columns/,
  ],
  [
    'no title',
    d => {
      panelCalled(d, aGraph).title = '';
    },
    /no title/,
  ],
  [
    'no description',
    d => {
      delete panelCalled(d, aGraph).description;
    },
    /description/,
  ],
  [
    'no word of what is normal',
    d => {
      panelCalled(d, aGraph).description = 'Exceptions.';
    },
    /normal/,
  ],
  [
    'no unit',
    d => {
      delete panelCalled(d, aGraph).fieldConfig.defaults.unit;
    },
    /no unit/,
  ],
  [
    'an unknown unit',
    d => {
      panelCalled(d, aGraph).fieldConfig.defaults.unit = 'per minute';
    },
    /no such unit/,
  ],
  [
    'a unit for a whole table',
    d => {
      panelCalled(d, aTable).fieldConfig.defaults.unit = 'short';
    },
    /all columns/,
  ],
  [
    'an unknown unit of a column',
    d => {
      panelCalled(d, aTable).fieldConfig.overrides.push({
        properties: [{ id: 'unit', value: 'codes' }],
        matcher: {},
      });
    },
    /no such unit/,
  ],
  [
    'an axis that begins anywhere',
    d => {
      delete panelCalled(d, aGraph).fieldConfig.defaults.min;
    },
    /begin at 0/,
  ],
  [
    'no legend',
    d => {
      panelCalled(d, aGraph).options.legend.showLegend = false;
    },
    /legend/,
  ],
  [
    'no text for an empty panel',
    d => {
      delete panelCalled(d, aGraph).fieldConfig.defaults.noValue;
    },
    /empty panel/,
  ],
  [
    'red for what is no failure',
    d => {
      panelCalled(d, aGraph).fieldConfig.overrides.push({
        matcher: { options: 'muted' },
        properties: [{ id: 'color', value: { fixedColor: colors.failure } }],
      });
    },
    /red/,
  ],
  [
    'a fixed data source',
    d => {
      target(d).datasource.uid = 'P1809F7CD0C75ACF3';
    },
    /data source is not a variable/,
  ],
  [
    'a variable that is not there',
    d => {
      target(d).expr += ' * $factor';
    },
    /\$factor/,
  ],
  [
    'a series without a name',
    d => {
      delete target(d).legendFormat;
    },
    /without a name/,
  ],
  [
    'a range query in a table',
    d => {
      target(d, aTable).instant = false;
    },
    /not instant/,
  ],
  [
    'no filter by job',
    d => {
      target(d).expr = target(d).expr.replaceAll('job=~"$job",', '');
    },
    /by job/,
  ],
  [
    'no filter by instance',
    d => {
      target(d).expr = target(d).expr.replaceAll(',instance=~"$instance"', '');
    },
    /by instance/,
  ],
  [
    'no filter by a chosen category',
    d => {
      target(d).expr = target(d).expr.replaceAll(',error_category=~"$error_category"', '');
    },
    /by category/,
  ],
  [
    'an instance of a recorded series',
    d => {
      target(d, 'Last 5 minutes').expr = target(d, 'Last 5 minutes').expr.replace(
        'job=~"$job"',
        'job=~"$job",instance=~"$instance"',
      );
    },
    /has no instance/,
  ],
  [
    'a counter as it is',
    d => {
      target(d).expr = target(d).expr.replace('rate(', 'max_over_time(');
    },
    /outside rate/,
  ],
  [
    'a fixed window',
    d => {
      target(d).expr = target(d).expr.replace('$__rate_interval', '1m');
    },
    /rate over 1m/,
  ],
  [
    'users in a legend',
    d => {
      target(d).expr = target(d).expr.replace('by (error_category)', 'by (user)');
    },
    /legend with user/,
  ],
  [
    'a denominator that may be 0',
    d => {
      target(d).expr += ' / (sum(up{job=~"$job",instance=~"$instance"}))';
    },
    /denominator/,
  ],
  [
    'a link to no dashboard',
    d => {
      panelCalled(d, aGraph).fieldConfig.defaults.links[0].url = `/d/tencent-chat-codes?\${__url_time_range}`;
    },
    /no dashboard/,
  ],
  [
    'a link with a variable the target lacks',
    d => {
      panelCalled(d, aGraph).fieldConfig.defaults.links[0].url += '&var-category=x';
    },
    /link with category/,
  ],
  [
    'a link that loses the time range',
    d => {
      const [link] = panelCalled(d, aGraph).fieldConfig.defaults.links;
      link.url = link.url.replace(`\${__url_time_range}`, '');
    },
    /time range/,
  ],
  [
    'a link that loses the job',
    d => {
      const [link] = panelCalled(d, aGraph).fieldConfig.defaults.links;
      link.url = link.url.replace(`\${job:queryparam}`, '');
    },
    /loses job/,
  ],
  [
    'a link to elsewhere',
    d => {
      panelCalled(d, aGraph).fieldConfig.defaults.links[0].url = 'https://example.org/';
    },
    /nowhere/,
  ],
];

for (const [what, plant, complaint] of mistakes) {
  conventions(`refuse ${what}`, () => {
    const found = lint(planted(dashboardUids.overview, plant), classic);
    assert.ok(
      found.some(line => complaint.test(line)),
      `${complaint} in ${JSON.stringify(found)}`,
    );
  });
}

conventions(
  'categories’ colours are the same everywhere, one each, and differ also for who sees no red or no green',
  () => {
    assert.equal(Object.keys(categoryColors).sort(), [...errorCategories].sort());
    for (const uid of uids) {
      for (const panel of panelsOf(classic[uid])) {
        if (panel.targets.some((one: Json) => /^\{\{(?!error_category)/.test(one.legendFormat ?? '')))
          continue;
        for (const { matcher, properties } of panel.fieldConfig.overrides) {
          const color = properties.find(({ id }: Json) => id === 'color')?.value.fixedColor;
          if (color && matcher.options in categoryColors)
            assert.is(color, categoryColors[matcher.options as keyof typeof categoryColors]);
        }
        if (
          !panel.targets.some((one: Json) => one.legendFormat === '{{error_category}}') ||
          panel.type !== 'timeseries'
        )
          continue;
        const colored = panel.fieldConfig.overrides.map(({ matcher }: Json) => matcher.options);
        for (const category of errorCategories)
          assert.ok(colored.includes(category), `${uid} › ${panel.title}: ${category}`);
      }
    }
    const closest = closestPair(Object.values(categoryColors));
    assert.ok(closest.distance > 8, JSON.stringify(closest));
    assert.ok(closestPair(['#00AA00', '#AA7700']).distance < closestPair(['#0072B2', '#E69F00']).distance);
  },
);

/** Machado, Oliveira and Fernandes, 2009: linear RGB as seen without red and without green cones. */
const visions = {
  protanopia: [0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998],
  deuteranopia: [0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.01182, 0.04294, 0.968881],
};

/** The two colours that are nearest in CIE Lab (ΔE 1976; about 2 is just seen) to any of these eyes. */
function closestPair(hexes: string[]) {
  let closest = { distance: Number.POSITIVE_INFINITY, colors: [''], vision: '' };
  for (const [vision, matrix] of Object.entries(visions)) {
    const seen = hexes.map(hex => {
      const rgb = [1, 3, 5].map(at => (Number.parseInt(hex.slice(at, at + 2), 16) / 255) ** 2.2);
      const [r, g, b] = [0, 3, 6].map(row =>
        Math.max(
          0,
          rgb.reduce((sum, value, column) => sum + value * matrix[row + column]!, 0),
        ),
      ) as [number, number, number];
      const f = (value: number) => (value > 0.008856 ? Math.cbrt(value) : 7.787 * value + 16 / 116);
      const x = f((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505);
      const y = f(0.2126 * r + 0.7152 * g + 0.0722 * b);
      const z = f((0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089);
      return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
    });
    seen.forEach((left, index) => {
      for (let other = index + 1; other < seen.length; other++) {
        const distance = Math.hypot(...left.map((value, axis) => value - seen[other]![axis]!));
        if (distance < closest.distance)
          closest = { distance, colors: [hexes[index]!, hexes[other]!], vision };
      }
    });
  }
  return closest;
}

conventions.run();

const queries = suite('dashboards, queries');

queries('pass Prometheus’ own parser', () => {
  const exprs = uids.flatMap(uid => promqlOf(classic[uid])).map(substitute);
  assert.ok(exprs.length > 80);
  assert.is(promtoolCheckQueries(exprs), '');
  assert.match(promtoolCheckQueries([...exprs, 'sum(up']), /parse error|unclosed/);
});

queries('name metrics and labels that a real exporter has, or that rules record', async () => {
  const known = await knownSeries();
  const variables = uids.flatMap(uid =>
    classic[uid].templating.list.filter((one: Json) => one.type === 'query'),
  );
  const exprs = uids.flatMap(uid => promqlOf(classic[uid]));
  const ofVariables = variables.map(({ query }: Json) => {
    const [, metric, label] = /^label_values\((.*), (\w+)\)$/.exec(query.query)!;
    return `sum by (${label}) (${metric})`;
  });
  assert.equal(
    [...exprs, ...ofVariables].flatMap(expr =>
      readPromql(substitute(expr), known).problems.map(problem => `${problem} in ${expr}`),
    ),
    [],
  );
  const renamed = exprs[0]!.replace('ALERTS', 'ALARMS');
  assert.is.not(readPromql(substitute(renamed), known).problems.length, 0);
});

queries('show labels in legends and columns that the result has', async () => {
  const known = await knownSeries();
  const problems: string[] = [];
  for (const uid of uids) {
    for (const panel of panelsOf(classic[uid])) {
      for (const one of panel.targets.filter((target: Json) => target.datasource.type === 'prometheus')) {
        const { labels } = readPromql(substitute(one.expr), known);
        const shown = [...(one.legendFormat ?? '').matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label!);
        const columns =
          panel.transformations?.find(({ id }: Json) => id === 'organize')?.options.renameByName ?? {};
        const matrix = panel.transformations?.find(({ id }: Json) => id === 'groupingToMatrix')?.options;
        const linked = [...JSON.stringify(panel.fieldConfig).matchAll(/__field\.labels\.(\w+)/g)].map(
          ([, label]) => label!,
        );
        const wanted = [
          ...shown,
          ...linked,
          ...Object.keys(columns),
          ...(matrix ? [matrix.columnField, matrix.rowField] : []),
        ];
        for (const label of wanted) {
          if (label !== 'Value' && !labels?.has(label)) problems.push(`${uid} › ${panel.title}: ${label}`);
        }
      }
    }
  }
  assert.equal(problems, []);
});

/** An exception with every attribute that the evidence is searched by. */
const record = {
  labels: {
    sdk_app_id: '1',
    error_code: '10023',
    error_category: 'rate_limited',
    group_type: 'Public',
    platform: 'iOS',
    initiator: 'user',
  },
  errorCode: 10023,
  errorName: 'x',
  errorInfo: '',
  elementTypes: [],
  messageText: null,
  traceId: '0'.repeat(32),
  spanId: '0'.repeat(16),
  occurredAt: 0,
  receivedAt: 0,
  groupId: null,
  userId: null,
  userHash: null,
  clientAddress: null,
  topicId: null,
  isOnlineOnly: null,
  random: null,
} as unknown as Parameters<typeof toSpan>[0];

queries('for logs and traces search by attributes that log records and spans have', () => {
  const origin = { resource: {} as never, scope: { name: '' } };
  // Loki's OTLP endpoint writes `_` for each dot.
  const inLoki = Object.keys(toLogRecord(record, origin).attributes).map(name => name.replaceAll('.', '_'));
  const inTempo = Object.keys(toSpan(record, origin).attributes);
  const targets = panelsOf(classic[dashboardUids.errorCode]).flatMap(panel => panel.targets);
  const { expr } = targets.find((one: Json) => one.datasource.type === 'loki');
  const { query } = targets.find((one: Json) => one.datasource.type === 'tempo');
  const logNames = [...expr.matchAll(/\| (\w+)=/g)].map(([, name]) => name);
  const spanNames = [...query.matchAll(/span\.([\w.]+)/g)].map(([, name]) => name);
  assert.ok(logNames.length >= 5 && spanNames.length >= 5);
  assert.equal(
    logNames.filter(name => !inLoki.includes(name)),
    [],
  );
  assert.equal(
    spanNames.filter(name => !inTempo.includes(name)),
    [],
  );
});

queries.run();
