/** The reader that the other tests believe: it refuses what breaks a rule of the format. */
import { readOpenMetrics, stateOf, valueOf } from '../support/openmetrics';

const gauge = '# HELP a Words\n# TYPE a gauge\na{x="1"} 2\n# EOF\n';

test('it reads what is right', () => {
  const families = readOpenMetrics(
    '# HELP a Words\n# TYPE a gauge\na{x="b\\"\\\\\\n"} 2\n# HELP s S\n# TYPE s stateset\ns{s="on"} 1\ns{s="off"} 0\n# EOF\n',
  );
  expect(valueOf(families, 'a', { x: 'b"\\\n' })).toBe(2);
  expect(stateOf(families, 's')).toBe('on');
});

test.each([
  ['no end', gauge.replace('# EOF\n', '')],
  ['words after the end', `${gauge}a 1\n`],
  ['a type twice', gauge.replace('# TYPE a gauge\n', '# TYPE a gauge\n# TYPE a gauge\n')],
  ['an unknown type', gauge.replace('gauge', 'number')],
  ['a unit that the name does not end with', gauge.replace('# TYPE', '# UNIT a bytes\n# TYPE')],
  [
    'a unit of a state set',
    '# HELP s_bytes S\n# TYPE s_bytes stateset\n# UNIT s_bytes bytes\ns_bytes{s_bytes="on"} 1\n# EOF\n',
  ],
  ['two units', gauge.replaceAll(/\ba\b/g, 'a_b_c').replace('# TYPE', '# UNIT a_b_c c\n# UNIT a_b_c b_c\n# TYPE')],
  ['no help', gauge.replace('# HELP a Words\n', '')],
  ['a sample of another name', gauge.replace('a{', 'b{')],
  ['a sample twice', gauge.replace('a{x="1"} 2\n', 'a{x="1"} 2\na{x="1"} 3\n')],
  ['a label twice', gauge.replace('x="1"', 'x="1",x="2"')],
  ['a quote that is not escaped', gauge.replace('x="1"', 'x="1"2"')],
  ['no number', gauge.replace('} 2', '} two')],
  ['an empty line', gauge.replace('# TYPE', '\n# TYPE')],
  ['a family at two places', gauge.replace('# EOF', '# HELP b B\n# TYPE b gauge\nb 1\n# HELP a Words\n# EOF')],
  ['a counter without _total', gauge.replace('gauge', 'counter')],
  ['a counter below 0', '# HELP a W\n# TYPE a counter\na_total -1\n# EOF\n'],
  ['a state of 2', '# HELP s S\n# TYPE s stateset\ns{s="on"} 2\n# EOF\n'],
  ['an info of 0', '# HELP i I\n# TYPE i info\ni_info{x="y"} 0\n# EOF\n'],
  [
    'metrics that lie apart',
    gauge.replace('gauge', 'stateset').replace('a{x="1"} 2', 'a{a="p",x="1"} 1\na{a="p",x="2"} 1\na{a="q",x="1"} 0'),
  ],
  ['a histogram without +Inf', '# HELP h H\n# TYPE h histogram\nh_bucket{le="0.1"} 1\nh_sum 1\nh_count 1\n# EOF\n'],
  [
    'a histogram whose counts fall',
    '# HELP h H\n# TYPE h histogram\nh_bucket{le="0.1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n# EOF\n',
  ],
  ['a histogram without a sum', '# HELP h H\n# TYPE h histogram\nh_bucket{le="+Inf"} 1\nh_count 1\n# EOF\n'],
])('it refuses %s', (_, text) => {
  expect(() => readOpenMetrics(text)).toThrow();
});
