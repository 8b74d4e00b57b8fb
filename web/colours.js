// Gives the sockets of the pack's own types a colour, in both of the editor's renderers.
import { app } from "../../scripts/app.js";

const COLOURS = { PEZ_ENCODER: "#f06292", PEZ_SETTINGS: "#bcaaa4", PEZ_LANGUAGE_MODEL: "#4db6ac" };
const PALETTE = "Comfy.ColorPalette";

// Nodes 2.0 takes colours from CSS, where those of a palette go first.
function colourNodes() {
    const style = document.createElement("style");
    const colours = Object.entries(COLOURS).map(([type, colour]) => `--color-datatype-${type}: ${colour};`);
    style.textContent = `:root { ${colours.join(" ")} }`;
    document.head.append(style);
}

// The canvas, and every link, take them from tables. A palette empties the places of the types that it does not know.
function colourCanvas() {
    for (const table of [app.canvas.default_connection_color_byType, LGraphCanvas.link_type_colors]) {
        for (const [type, colour] of Object.entries(COLOURS)) table[type] ||= colour;
    }
    app.canvas.setDirty(true, true);
}

app.registerExtension({
    name: "PEZ.Colours",
    setup() {
        colourNodes();
        // The editor loads the palette after it has told of the change.
        app.ui.settings.addEventListener(`${PALETTE}.change`, () => setTimeout(colourCanvas));
    },
    afterConfigureGraph: colourCanvas,
});
