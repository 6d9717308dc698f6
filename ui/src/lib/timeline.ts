// The transcript and what this page knows beyond it, in one order.

import type { AnswerItem, Delivery, Item, ToolItem, UserItem } from './items';
import { CLOCK_SLACK_MS, isIn, type Run } from './run';

/** A message of this page that the transcript does not show yet. */
export interface Outgoing extends UserItem {
  key: string;
  delivery: Delivery;
  sessionKey: string;
  /** When it was first sent, on the page's clock; `null` while it never was. */
  triedAtMs: number | null;
}

/** The conversation as shown: transcript, leftovers by their time, then what is happening. */
export function timeline(transcript: Item[], outgoing: Outgoing[], runs: Run[]): Item[] {
  const lastAt = transcript.at(-1)?.at ?? 0;
  const extras: { at: number; items: Item[] }[] = [
    ...outgoing.map((message) => ({ at: message.at, items: [message] })),
    // A running turn comes after all that is written down, its own beginning included.
    ...runs.map((run) => ({
      at: run.endedAt ?? Math.max(run.at, lastAt),
      items: beyond(transcript, run),
    })),
  ].sort((a, b) => a.at - b.at);

  const shown: Item[] = [];
  let next = 0;
  for (const item of transcript) {
    for (; next < extras.length && extras[next]!.at < item.at; next++) shown.push(...extras[next]!.items);
    shown.push(withNews(item, runs));
  }
  for (; next < extras.length; next++) shown.push(...extras[next]!.items);
  return shown;
}

/** The messages that `transcript` does not show: by key, or by text and time where it keeps no key. */
export function notYetIn(transcript: Item[], outgoing: Outgoing[]): Outgoing[] {
  const free = transcript.filter((item): item is UserItem => item.kind === 'user');
  return outgoing.filter((message) => {
    const index = free.findIndex(
      (item) =>
        item.key === message.key ||
        (item.key === null && item.text === message.text && item.at >= message.at - CLOCK_SLACK_MS),
    );
    if (index < 0) return true;
    free.splice(index, 1);
    return false;
  });
}

/** The runs that still show more than `transcript`, without the parts that it shows now. */
export function trimRuns(transcript: Item[], runs: Run[]): Run[] {
  const kept = runs.filter((run) => run.endedAt === null || !isIn(run, transcript));
  for (const run of kept) {
    const since = transcript.filter((item) => item.kind === 'answer' && item.at >= run.at - CLOCK_SLACK_MS);
    const texts = new Set(since.map((item) => (item as AnswerItem).text.trim()));
    run.items = run.items.filter((item) => item.kind !== 'answer' || item.live || !texts.has(item.text.trim()));
  }
  return kept;
}

/** A key per item: its id, made unique because some models use the ids of tool calls again in later turns. */
export function keyed(items: Item[]): { key: string; item: Item }[] {
  const uses = new Map<string, number>();
  return items.map((item) => {
    const use = (uses.get(item.id) ?? 0) + 1;
    uses.set(item.id, use);
    return { key: use === 1 ? item.id : `${item.id} (${use})`, item };
  });
}

/** Events tell of a tool's end before the next load of the transcript does. */
function withNews(item: Item, runs: Run[]): Item {
  if (item.kind !== 'tool' || item.state !== 'open') return item;
  const news = runs.flatMap((run) => run.items).find((other) => other.kind === 'tool' && other.id === item.id);
  const { state, output } = (news as ToolItem | undefined) ?? item;
  return { ...item, state, output };
}

/** The items of a run, without the tool calls that the transcript shows. */
function beyond(transcript: Item[], run: Run): Item[] {
  const written = new Set<string>();
  for (const item of transcript) {
    // A closed call from before the run is another one: some models use ids again.
    if (item.kind === 'tool' && (item.state === 'open' || item.at >= run.at - CLOCK_SLACK_MS)) written.add(item.id);
  }
  return run.items.filter((item) => item.kind !== 'tool' || !written.has(item.id));
}
