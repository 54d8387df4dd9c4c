import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { html } from '../../src/http/html.ts';

const markup = suite('html');

markup('escapes what is put in, in text and in attributes', () => {
  const hostile = `</b><script>alert("1")</script>&amp;'`;
  const escaped = '&lt;/b&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;amp;&#39;';
  assert.is(html`<b title="${hostile}">${hostile}</b>`.text, `<b title="${escaped}">${escaped}</b>`);
});

markup('leaves what it made itself as it is, alone and in lists', () => {
  const items = ['<', '>'].map(text => html`<li>${text}</li>`);
  assert.is(
    html`<ul>${items}</ul>${null}${3}${['&', [html`<br>`]]}`.text,
    '<ul><li>&lt;</li><li>&gt;</li></ul>3&amp;<br>',
  );
});

/** What nobody sees, or what turns the rest around. */
const unseen: [name: string, text: string, shown: string][] = [
  ['NUL', 'a\0b', 'a\\u0000b'],
  ['a line feed', 'a\nb', 'a\\u000ab'],
  ['an escape of a terminal', '\u001b[31m', '\\u001b[31m'],
  ['a line separator', 'a\u2028b', 'a\\u2028b'],
  ['a right-to-left override', 'exe.\u202egnp', 'exe.\\u202egnp'],
  ['the end of an isolate', 'a\u2069b', 'a\\u2069b'],
];

for (const [name, text, shown] of unseen) {
  markup(`shows ${name}`, () => {
    assert.is(html`${text}`.text, shown);
  });
}

markup('leaves every other script as it is written', () => {
  assert.is(html`${'群组 مجموعة 👪'}`.text, '群组 مجموعة 👪');
});

markup.run();
