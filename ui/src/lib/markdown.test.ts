import { render } from 'svelte/server';
import { describe, expect, test } from 'vitest';
import Markdown from '../view/Markdown.svelte';

/** The HTML of `markdown`, without the comments that Svelte leaves for itself. */
function check(markdown: string, expected: string): void {
  const html = render(Markdown, { props: { text: markdown } }).body;
  expect(html.replace(/<!--[\s\S]*?-->/g, '').replace(/ class="c[^"]*"/g, '').trim()).toBe(expected);
}

describe('Markdown', () => {
  test('paragraphs, emphasis and code are elements', () => {
    check('a **b** _c_ `<d>`', '<p>a <strong>b</strong> <em>c</em> <code>&lt;d></code></p>');
  });

  test('a line break in the text is one on the page', () => {
    check('one\ntwo', '<p>one<br/>two</p>');
  });

  test('entities are shown as the characters they name', () => {
    check('a &lt; b &amp;&amp; c', '<p>a &lt; b &amp;&amp; c</p>');
  });

  test('HTML is shown and not parsed', () => {
    check('x <img src=y onerror=z> <b>w</b>', '<p>x &lt;img src=y onerror=z> &lt;b>w&lt;/b></p>');
    check('<script>x</script>', '&lt;script>x&lt;/script>');
  });

  test('a web link opens a new tab that knows nothing of this one', () => {
    check(
      '[home](https://example.org/a?b=1)',
      '<p><a href="https://example.org/a?b=1" target="_blank" rel="noopener noreferrer">home</a></p>',
    );
  });

  test('an image is a link, so that looking fetches nothing', () => {
    check(
      '![chart](https://example.org/a.png)',
      '<p><a href="https://example.org/a.png" target="_blank" rel="noopener noreferrer">chart</a></p>',
    );
  });

  // SEC-52
  test.each(['file:///etc/passwd', '//host/share', '\\\\\\\\host\\\\share', '/etc/passwd', 'javascript:alert(1)', 'data:text/html,x'])(
    'an address that names this machine or runs a script is text: %s',
    (address) => {
      check(`[label](<${address}>)`, '<p>label</p>');
      check(`![label](<${address}>)`, '<p>label</p>');
    },
  );
});
