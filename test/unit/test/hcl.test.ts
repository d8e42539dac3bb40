import { expect, test } from '@jest/globals';
import { blocksOf, parseHcl } from '../../fixtures/hcl.ts';

test('blocks, labels, attributes, lists, maps and comments are read', () => {
  const body = parseHcl(`
    # one
    job "a" { // two
      count = 2 /* three
      */ on = true
      list = ["x", -1.5,]
    }`);
  expect(body).toEqual({
    attributes: {},
    blocks: [
      {
        kind: 'job',
        labels: ['a'],
        attributes: { count: 2, on: true, list: ['x', -1.5] },
        blocks: [],
      },
    ],
  });
  expect(parseHcl('map = { "a.b/c" = "1", d = { e = "\\"" } }').attributes).toEqual({
    map: { 'a.b/c': '1', d: { e: '"' } },
  });
});

test('blocks are found at any depth', () => {
  const body = parseHcl('a { b { c { n = 1 } } }\nc { n = 2 }');
  expect(blocksOf(body, 'c').map(({ attributes }) => attributes['n'])).toEqual([1, 2]);
});

test('what is no HCL, or not read here, is told with its line', () => {
  expect(() => parseHcl('a = 1\na = 2')).toThrow('line 2: a is there twice');
  expect(() => parseHcl('a {\n b = 1')).toThrow('line 2: a name is missing');
  expect(() => parseHcl('a = ["x" "y"]')).toThrow('line 1: , is missing');
  expect(() => parseHcl('a = "${b}"')).toThrow('interpolation');
  expect(() => parseHcl('a = <<EOF')).toThrow('"<" is not expected');
  expect(() => parseHcl('\n\na = ')).toThrow('line 3: this is no value');
});
