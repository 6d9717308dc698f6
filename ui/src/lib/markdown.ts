// The model's Markdown as a tree; `view/Markdown.svelte` draws it without ever parsing HTML.

import { Lexer, type Token } from 'marked';

export function parseMarkdown(markdown: string): Token[] {
  return new Lexer({ gfm: true, breaks: true }).lex(markdown);
}

/**
 * The address that a link may lead to, or `null`.
 *
 * Only these lead somewhere else; what names this machine or its network, or runs a script, stays text.
 */
export function safeHref(href: string): string | null {
  return /^(https?:\/\/|mailto:)/i.test(href) ? href : null;
}

const ENTITIES: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'", apos: "'", nbsp: '\u00a0' };

/** Models escape some characters as in HTML; the tree keeps them as written. */
export function plain(text: string): string {
  return text.replace(/&(amp|lt|gt|quot|#39|apos|nbsp);/g, (_, name: string) => ENTITIES[name] ?? '');
}
