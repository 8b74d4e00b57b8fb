// What a search found, as an element: the prompt with its tokens shaded by what they contribute, figures, and a curve.
// A node that ran for a list has several results, which the reader leafs through.
import { Curve } from "./curve.js";
import { say, translated } from "./words.js";

const STYLE = `
.pez-result { display: flex; flex-direction: column; gap: 4px; padding: 6px; box-sizing: border-box; overflow: auto;
    font: 12px/1.5 sans-serif; color: var(--input-text, #ddd); background: var(--comfy-input-bg, #222); border-radius: 6px; }
.lg-node .pez-result { background: var(--component-node-widget-background, var(--comfy-input-bg, #222)); }
.pez-result .pez-text { flex: 1; min-height: 2em; overflow: auto; user-select: text; cursor: text; white-space: pre-wrap; }
.pez-result .pez-text span { border-radius: 3px; }
.pez-result .pez-line { display: flex; flex-wrap: wrap; gap: 2px 6px; align-items: center; }
.pez-result .pez-figures { flex: 1; }
.pez-result[data-state=found] .pez-figures { white-space: nowrap; }
.pez-result .pez-pager { display: flex; gap: 4px; align-items: center; white-space: nowrap; }
.pez-result button { font: inherit; color: inherit; background: none; border: 1px solid currentColor; border-radius: 4px;
    padding: 0 6px; cursor: pointer; white-space: nowrap; }
.pez-result canvas { width: 100%; height: 32px; flex: none; }
.pez-result .pez-notes { white-space: pre-wrap; border-left: 3px solid #e0a030; padding-left: 6px; }
.pez-result [hidden] { display: none; }
`;
const GAIN = "64, 160, 110";
const LOSS = "200, 80, 80";
const COPIED_SECONDS = 1.5;

function element(tag, className, parent) {
    const made = document.createElement(tag);
    made.className = className;
    parent?.append(made);
    return made;
}

function button(className, parent, onclick) {
    const made = element("button", className, parent);
    made.type = "button";
    made.onclick = onclick;
    return made;
}

export class Result {
    #running = [];
    #found = [];
    #page = 0;

    constructor() {
        this.element = element("div", "pez-result");
        element("style", "", this.element).textContent = STYLE;
        this.text = element("div", "pez-text", this.element);
        const line = element("div", "pez-line", this.element);
        this.figures = element("span", "pez-figures", line);
        this.pager = element("span", "pez-pager", line);
        this.previous = button("pez-previous", this.pager, () => this.#turn(-1));
        this.place = element("span", "pez-place", this.pager);
        this.next = button("pez-next", this.pager, () => this.#turn(1));
        this.copy = button("pez-copy", line, () => this.#copy(this.copy, this.text.textContent));
        this.copyAll = button("pez-copy-all", line, () =>
            this.#copy(this.copyAll, this.#found.map(({ text }) => text).join("\n")),
        );
        this.curve = new Curve();
        this.element.append(this.curve.canvas);
        this.notes = element("div", "pez-notes", this.element);
        [this.previous.textContent, this.next.textContent] = ["‹", "›"];
        for (const event of ["pointerdown", "wheel"]) {
            this.text.addEventListener(event, (happened) => happened.stopPropagation());
        }
    }

    // The best text so far; `item` counts from 0 where the node runs for a list, and for any other node stays there.
    showProgress({ text, value, step, steps, seconds_left: left, measure, item }) {
        if (this.#running.length && step < this.#running.at(-1)[0]) this.#running = [];
        this.#running.push([step, value]);
        this.element.dataset.state = "running";
        this.#label();
        this.text.textContent = text;
        this.notes.hidden = this.pager.hidden = this.copyAll.hidden = true;
        const parts = [
            `${say(measure)} ${value.toFixed(3)}`,
            say("step", { step, steps }),
            say("left", { seconds: Math.ceil(left) }),
        ];
        if (item) parts.unshift(say("item", { item: item + 1 }));
        this.figures.textContent = parts.join(" · ");
        this.curve.show(this.#running);
    }

    // One result, or one for each element of the list that the node ran for.
    showFound(found) {
        this.#running = [];
        this.#found = found;
        this.#page = 0;
        this.#showPage();
    }

    #turn(by) {
        this.#page = (this.#page + by + this.#found.length) % this.#found.length;
        this.#showPage();
    }

    #showPage() {
        const { text, value, pieces, curve, notes, measure } = this.#found[this.#page];
        this.element.dataset.state = "found";
        this.#label();
        this.#showPieces(text, pieces);
        this.figures.textContent = `${say(measure)} ${value.toFixed(3)}`;
        this.notes.textContent = notes.map(translated).join("\n");
        this.notes.hidden = !notes.length;
        this.curve.show(curve.map((best, index) => [index, best]));
        const pages = this.#found.length;
        this.pager.hidden = this.copyAll.hidden = pages < 2;
        this.place.textContent = say("page", { page: this.#page + 1, pages });
    }

    #label() {
        this.copy.textContent = say("copy");
        this.copyAll.textContent = say("copyAll");
        this.previous.title = say("previous");
        this.next.title = say("next");
    }

    // The text as it is, with those parts shaded that the tokens stand for.
    #showPieces(text, pieces) {
        this.text.replaceChildren();
        this.text.style.fontFamily = text.includes("\n") ? "monospace" : ""; // a table keeps its columns
        const most = Math.max(...pieces.map(([, contribution]) => Math.abs(contribution)), 1e-6);
        const lower = text.toLowerCase();
        let done = 0;
        for (const [piece, contribution] of pieces) {
            const start = piece ? lower.indexOf(piece.toLowerCase(), done) : -1;
            if (start < 0) continue;
            this.text.append(text.slice(done, start));
            done = start + piece.length;
            const span = element("span", "", this.text);
            span.textContent = text.slice(start, done);
            span.title = `${contribution >= 0 ? "+" : "−"}${Math.abs(contribution).toFixed(3)}`;
            const strength = (Math.abs(contribution) / most) * 0.75;
            span.style.background = `rgba(${contribution >= 0 ? GAIN : LOSS}, ${strength.toFixed(2)})`;
        }
        this.text.append(text.slice(done));
    }

    async #copy(button, text) {
        try {
            await navigator.clipboard.writeText(text);
        } catch {
            // Without a secure connection a page may not write the clipboard: select, so that the keyboard can.
            this.text.textContent = text;
            getSelection().selectAllChildren(this.text);
            return;
        }
        button.textContent = say("copied");
        setTimeout(() => this.#label(), COPIED_SECONDS * 1000);
    }
}
