/**
 * HTML in which nothing from outside can become markup: what is put into an `html` text is escaped, unless it was made
 * by `html` itself.
 */

export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** `null` is nothing; of a list, one after another. */
export type HtmlValue = string | number | Html | null | readonly HtmlValue[];

/** ``html`<b title="${name}">${name}</b>` ``: values in attributes stand between quotes. */
export function html(strings: TemplateStringsArray, ...values: HtmlValue[]): Html {
  return new Html(strings.reduce((text, string, index) => text + toHtml(values[index - 1]!) + string));
}

function toHtml(value: HtmlValue): string {
  if (value === null) return '';
  if (value instanceof Html) return value.text;
  if (typeof value === 'object') return value.map(toHtml).join('');
  return escapeHtml(String(value));
}

const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/**
 * Characters that cannot be seen, or turn the direction of what is read: NUL, line feed, U+2028, right-to-left overrides.
 * They are shown as JSON writes them: `\u202e`.
 */
const unseen = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu;

function escapeHtml(text: string): string {
  return text
    .replace(unseen, character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .replace(/[&<>"']/g, character => entities[character]!);
}
