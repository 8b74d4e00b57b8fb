// What a search found, as an element: the prompt with its tokens shaded by what they contribute, figures, and a curve.

const STYLE = `
.pez-result { display: flex; flex-direction: column; gap: 4px; padding: 6px; box-sizing: border-box; overflow: auto;
    font: 12px/1.5 sans-serif; color: var(--input-text, #ddd); background: var(--comfy-input-bg, #222); border-radius: 6px; }
.pez-result .pez-text { flex: 1; min-height: 2em; overflow: auto; user-select: text; cursor: text; white-space: pre-wrap; }
.pez-result .pez-text span { border-radius: 3px; }
.pez-result .pez-figures { display: flex; gap: 8px; align-items: center; opacity: 0.85; }
.pez-result .pez-figures span { flex: 1; }
.pez-result button { font: inherit; color: inherit; background: none; border: 1px solid currentColor; border-radius: 4px;
    padding: 0 6px; cursor: pointer; }
.pez-result canvas { width: 100%; height: 32px; flex: none; }
.pez-result .pez-notes { color: #e0a030; }
`;
const GAIN = "64, 160, 110";
const LOSS = "200, 80, 80";

function element(tag, className, parent) {
    const made = document.createElement(tag);
    made.className = className;
    parent?.append(made);
    return made;
}

export class Result {
    #points = [];

    constructor() {
        this.element = element("div", "pez-result");
        element("style", "", this.element).textContent = STYLE;
        this.text = element("div", "pez-text", this.element);
        const line = element("div", "pez-figures", this.element);
        this.figures = element("span", "", line);
        this.copy = element("button", "pez-copy", line);
        this.copy.textContent = "Copy";
        this.copy.onclick = () => this.#copyText();
        this.canvas = element("canvas", "pez-curve", this.element);
        this.notes = element("div", "pez-notes", this.element);
        for (const event of ["pointerdown", "wheel"]) {
            this.text.addEventListener(event, (happened) => happened.stopPropagation());
        }
        new ResizeObserver(() => this.#draw()).observe(this.canvas);
    }

    showProgress({ text, value, step, steps, seconds_left: left, measure }) {
        if (!this.#points.length || step < this.#points.at(-1)[0]) this.#points = [];
        this.#points.push([step, value]);
        this.text.textContent = text;
        this.notes.textContent = "";
        this.figures.textContent =
            `${measure} ${value.toFixed(3)} · step ${step} of ${steps} · ${Math.ceil(left)} s left`;
        this.#draw();
    }

    showFound({ text, value, pieces, curve, notes, measure }) {
        this.#showPieces(text, pieces);
        this.figures.textContent = `${measure} ${value.toFixed(3)}`;
        this.notes.textContent = notes.join("\n");
        this.#points = curve.map((best, index) => [index, best]);
        this.#draw();
        this.#points = [];
    }

    // The text as it is, with those parts shaded that the tokens stand for.
    #showPieces(text, pieces) {
        this.text.replaceChildren();
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

    #draw() {
        const { canvas } = this;
        const points = this.#drawn = this.#points.length ? this.#points : (this.#drawn ?? []);
        canvas.width = canvas.clientWidth || 1;
        canvas.height = canvas.clientHeight || 1;
        canvas.hidden = points.length < 2;
        if (canvas.hidden) return;
        const values = points.map(([, value]) => value);
        const [low, high] = [Math.min(...values), Math.max(...values)];
        const [first, last] = [points[0][0], points.at(-1)[0]];
        const context = canvas.getContext("2d");
        context.strokeStyle = `rgb(${GAIN})`;
        context.lineWidth = 1.5;
        context.beginPath();
        for (const [step, value] of points) {
            const across = ((step - first) / (last - first || 1)) * canvas.width;
            const down = (1 - (value - low) / (high - low || 1)) * (canvas.height - 4) + 2;
            context.lineTo(across, down);
        }
        context.stroke();
    }

    #drawn;

    async #copyText() {
        try {
            await navigator.clipboard.writeText(this.text.textContent);
        } catch {
            // Without a secure connection a page may not write the clipboard: select, so that the keyboard can.
            getSelection().selectAllChildren(this.text);
            return;
        }
        this.copy.textContent = "Copied";
        setTimeout(() => (this.copy.textContent = "Copy"), 1500);
    }
}
