/** An answer: verdict in words, products, filters, and what can be done where there is nothing. */
import { useState } from "preact/hooks";
import { Sheet } from "./sheet";
import type { Answer, Found, Trouble } from "./finding";
import { Icon } from "./icons";
import { fill, type Texts } from "./texts";

const PLACEHOLDERS = 6;
const FEW_VALUES = 10; // of a field, before all are asked for
export const PAGE = 24; // products

export interface ResultsProps {
  texts: Texts;
  answer: Answer | null;
  problem: Trouble | null;
  busy: boolean;
  picture: string; // what was asked with, to show
  about: string; // the product that was asked with
  words: string;
  chosen: Record<string, string[]>;
  facets: Record<string, Record<string, number>>;
  onBack: () => void;
  onCrop: (() => void) | null;
  onWords: (words: string) => void;
  onChoose: (chosen: Record<string, string[]>) => void;
  onMore: () => void;
  onSimilar: (product: Found) => void;
  onSettings: () => void;
  onRetry: () => void;
  onTold: (text: string) => void;
}

export function Results(props: ResultsProps) {
  const { texts, answer, problem, busy, chosen } = props;
  const [filtering, setFiltering] = useState(false);
  const [opened, setOpened] = useState<Found | null>(null);
  const [anyway, setAnyway] = useState<Answer | null>(null);
  const active = Object.values(chosen).reduce((sum, values) => sum + values.length, 0);
  const notClose = answer?.verdict === "nothing close" && anyway !== answer;

  return (
    <main class="view results">
      <header class="bar">
        <button class="round" aria-label={texts.back} onClick={props.onBack}>
          <Icon name="back" />
        </button>
        <WordsField texts={texts} words={props.words} onWords={props.onWords} />
        <button class={active ? "round on" : "round"} aria-label={active ? fill(texts.filtersOn, { n: active }) : texts.filters} onClick={() => setFiltering(true)}>
          <Icon name="filter" />
        </button>
      </header>
      <div class="asked">
        {props.picture &&
          (props.onCrop ? (
            <button class="mine" aria-label={texts.changeCrop} onClick={props.onCrop}>
              <img src={props.picture} alt={texts.yourPicture} width="48" height="64" />
              <Icon name="crop" />
            </button>
          ) : (
            <img class="mine" src={props.picture} alt="" width="48" height="64" />
          ))}
        <div>
          <h1 aria-live="polite">{heading(props)}</h1>
          {props.about && <p>{fill(texts.similarTo, { title: props.about })}</p>}
          {answer && answer.hits.length > 0 && !busy && !notClose && (
            <p>{fill(texts.resultsOf, { n: answer.hits.length, total: answer.total.toLocaleString(document.documentElement.lang) })}</p>
          )}
          {answer && answer.from !== "server" && !busy && <p class="badge">{answer.from === "phone" ? texts.phoneBanner : texts.deviceBanner}</p>}
        </div>
      </div>
      <Chips {...props} />
      {busy && !answer ? (
        <ul class="grid" aria-hidden="true">
          {Array.from({ length: PLACEHOLDERS }, (_, number) => (
            <li key={number} class="card waiting">
              <div />
              <p />
            </li>
          ))}
        </ul>
      ) : problem ? (
        <TroubleState {...props} problem={problem} />
      ) : !answer ? null : notClose && answer ? (
        <State
          title={texts.nothingClose}
          hint={texts.nothingCloseHint}
          actions={[
            ...(props.onCrop ? [{ text: texts.cropAgain, act: props.onCrop }] : []),
            ...(answer.hits.length ? [{ text: texts.showNearest, act: () => setAnyway(answer) }] : [{ text: texts.newSearch, act: props.onBack }]),
          ]}
        />
      ) : !answer.hits.length ? (
        <NothingState {...props} answer={answer} />
      ) : (
        <>
          <ul class="grid">
            {answer.hits.map((hit) => (
              <li key={hit.id} class="card">
                <button onClick={() => setOpened(hit)}>
                  <img src={hit.picture} alt="" width="450" height="600" loading="lazy" decoding="async" />
                  {hit.verdict && hit.verdict !== "found" && hit.verdict !== "nothing close" && <span class="verdict">{texts.verdicts[hit.verdict] ?? hit.verdict}</span>}
                  <span class="title">{hit.title}</span>
                  <span class="line">
                    {hit.price && <b>{hit.price}</b>} {hit.inStock ? hit.brand : texts.soldOut}
                  </span>
                </button>
              </li>
            ))}
          </ul>
          {answer.hits.length < answer.total && (
            <button class="second wide" disabled={busy} onClick={props.onMore}>
              {busy ? texts.searching : texts.more}
            </button>
          )}
        </>
      )}
      {filtering && <Filters {...props} onClose={() => setFiltering(false)} />}
      {opened && <Details {...props} hit={opened} onClose={() => setOpened(null)} />}
    </main>
  );
}

function heading({ texts, answer, problem, busy }: ResultsProps): string {
  if (busy && !answer) return texts.searching;
  if (problem || !answer) return texts.results;
  return texts.verdicts[answer.verdict] ?? answer.verdict;
}

export function WordsField({ texts, words, onWords }: { texts: Texts; words: string; onWords: (words: string) => void }) {
  const [text, setText] = useState(words);
  return (
    <form
      class="words"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        (event.currentTarget.elements[0] as HTMLElement).blur();
        onWords(text.trim());
      }}
    >
      <input
        type="search"
        enterkeyhint="search"
        aria-label={texts.words}
        placeholder={texts.words}
        value={text}
        maxLength={300}
        onInput={(event) => setText(event.currentTarget.value)}
      />
    </form>
  );
}

function Chips({ texts, chosen, onChoose }: ResultsProps) {
  const all = Object.entries(chosen).flatMap(([name, values]) => values.map((value) => [name, value] as const));
  if (!all.length) return null;
  return (
    <div class="chips">
      {all.map(([name, value]) => (
        <button key={`${name} ${value}`} aria-label={`${texts.fields[name] ?? name}: ${value} – ${texts.close}`} onClick={() => onChoose(toggled(chosen, name, value))}>
          {value.split(" > ").at(-1)} <Icon name="close" />
        </button>
      ))}
    </div>
  );
}

function toggled(chosen: Record<string, string[]>, name: string, value: string): Record<string, string[]> {
  const own = chosen[name] ?? [];
  return { ...chosen, [name]: own.includes(value) ? own.filter((each) => each !== value) : [...own, value] };
}

function Filters(props: ResultsProps & { onClose: () => void }) {
  const { texts, chosen, facets, answer, onChoose, onClose } = props;
  const fields = Object.entries(facets).filter(([, values]) => Object.keys(values).length > 1);
  return (
    <Sheet
      title={texts.filters}
      texts={texts}
      onClose={onClose}
      actions={
        <>
          <button class="second" onClick={() => onChoose({})}>
            {texts.clearFilters}
          </button>
          <button class="main" onClick={onClose}>
            {texts.showResults}
          </button>
        </>
      }
    >
      {!fields.length && <p>{texts.noFacets}</p>}
      {fields.map(([name, values]) => (
        <Facet key={name} {...{ texts, name, values, chosen, onChoose }} now={answer?.facets[name] ?? {}} />
      ))}
    </Sheet>
  );
}

interface FacetProps {
  texts: Texts;
  name: string;
  values: Record<string, number>;
  now: Record<string, number>;
  chosen: Record<string, string[]>;
  onChoose: (chosen: Record<string, string[]>) => void;
}

/** Values of a field to choose from; of a category its last level is shown, and wide ones come first. */
function Facet({ texts, name, values, now, chosen, onChoose }: FacetProps) {
  const [all, setAll] = useState(false);
  const others = Object.entries(chosen).some(([field, own]) => field !== name && own.length > 0);
  const depth = (value: string) => value.split(" > ").length;
  const label = (value: string) => value.split(" > ").at(-1)!;
  const own = Object.entries(values).filter(([value], at, every) => every.findIndex(([other]) => label(other) === label(value)) === at);
  if (name === "category") own.sort(([a, m], [b, n]) => depth(a) - depth(b) || n - m);
  const few = own.filter(([value], at) => all || at < FEW_VALUES || chosen[name]?.includes(value));
  return (
    <fieldset>
      <legend>{texts.fields[name] ?? name}</legend>
      <div class="values">
        {few.map(([value, count]) => (
          <button key={value} aria-pressed={chosen[name]?.includes(value) ?? false} onClick={() => onChoose(toggled(chosen, name, value))}>
            {label(value)} <small>{others ? (now[value] ?? 0) : count}</small>
          </button>
        ))}
        {few.length < own.length && (
          <button class="text" onClick={() => setAll(true)}>
            {texts.more}
          </button>
        )}
      </div>
    </fieldset>
  );
}

function Details(props: ResultsProps & { hit: Found; onClose: () => void }) {
  const { texts, hit, onClose, onSimilar, onTold } = props;
  const link = hit.url || `${location.origin}/m/#product=${encodeURIComponent(hit.id)}`;
  const share = async () => {
    try {
      if (navigator.share) return await navigator.share({ title: hit.title, url: link });
      await navigator.clipboard.writeText(link);
      onTold(texts.copied);
    } catch {
      // the person changed their mind
    }
  };
  return (
    <Sheet
      title={hit.title}
      texts={texts}
      onClose={onClose}
      actions={
        <>
          <button class="second" onClick={share}>
            <Icon name="share" />
            {texts.share}
          </button>
          <button
            class="main"
            onClick={() => {
              onClose();
              onSimilar(hit);
            }}
          >
            {texts.moreLike}
          </button>
        </>
      }
    >
      <img class="large" src={hit.picture} alt={hit.title} width="450" height="600" />
      <p class="line">
        {hit.price && <b>{hit.price}</b>} {!hit.inStock && texts.soldOut}
      </p>
      <dl>
        {hit.details.map(([field, value]) => (
          <div key={field}>
            <dt>{texts.fields[field] ?? field}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {hit.url && (
        <a class="second wide" href={hit.url} target="_blank" rel="noopener noreferrer">
          <Icon name="open" />
          {texts.openShop}
        </a>
      )}
    </Sheet>
  );
}

interface Action {
  text: string;
  act: () => void;
}

function State({ title, hint, actions }: { title: string; hint?: string; actions: Action[] }) {
  return (
    <section class="state" role="status">
      <h2>{title}</h2>
      {hint && <p>{hint}</p>}
      {actions.map(({ text, act }, number) => (
        <button key={text} class={number ? "second wide" : "main wide"} onClick={act}>
          {text}
        </button>
      ))}
    </section>
  );
}

function NothingState(props: ResultsProps & { answer: Answer }) {
  const { texts, answer, onChoose, onBack } = props;
  const again = { text: texts.newSearch, act: onBack };
  if (answer.verdict === "nothing passes the filter")
    return <State title={texts.nothingPasses} actions={[{ text: texts.clearFilters, act: () => onChoose({}) }, again]} />;
  if (answer.verdict === "not understood") return <State title={texts.notUnderstood} actions={[again]} />;
  return <State title={texts.empty} actions={[again]} />;
}

function TroubleState(props: ResultsProps & { problem: Trouble }) {
  const { texts, problem, onRetry, onSettings, onBack } = props;
  const again = { text: texts.tryAgain, act: onRetry };
  const settings = { text: texts.settings, act: onSettings };
  switch (problem.kind) {
    case "offline":
      return <State title={texts.offline} hint={texts.offlineHint} actions={[again, settings]} />;
    case "key":
      return <State title={texts.needsKey} hint={texts.needsKeyHint} actions={[settings]} />;
    case "badKey":
      return <State title={texts.badKey} hint={problem.detail} actions={[settings]} />;
    case "busy":
      return <State title={fill(texts.busy, { n: problem.detail })} actions={[again]} />;
    case "picture":
      return <State title={texts.badPicture} actions={[{ text: texts.newSearch, act: onBack }]} />;
    case "model":
      return <State title={texts.otherModel} actions={[settings]} />;
    default:
      return <State title={fill(texts.failed, { detail: problem.detail })} actions={[again]} />;
  }
}
