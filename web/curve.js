// The best value after each step, as a line on a canvas.

const COLOUR = "rgb(64, 160, 110)";

export class Curve {
    #points = [];

    constructor() {
        this.canvas = document.createElement("canvas");
        this.canvas.className = "pez-curve";
        new ResizeObserver(() => this.#draw()).observe(this.canvas);
    }

    // Points of [step, value].
    show(points) {
        this.#points = points;
        this.#draw();
    }

    #draw() {
        const { canvas } = this;
        const points = this.#points;
        canvas.hidden = points.length < 2;
        if (canvas.hidden) return;
        canvas.width = canvas.clientWidth || 1;
        canvas.height = canvas.clientHeight || 1;
        const values = points.map(([, value]) => value);
        const [low, high] = [Math.min(...values), Math.max(...values)];
        const [first, last] = [points[0][0], points.at(-1)[0]];
        const context = canvas.getContext("2d");
        context.strokeStyle = COLOUR;
        context.lineWidth = 1.5;
        context.beginPath();
        for (const [step, value] of points) {
            const across = ((step - first) / (last - first || 1)) * canvas.width;
            const down = (1 - (value - low) / (high - low || 1)) * (canvas.height - 4) + 2;
            context.lineTo(across, down);
        }
        context.stroke();
    }
}
