// Shows on every PEZ node what its search has found so far, and afterwards the prompt, to select and copy.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { Result } from "./result.js";

const CATEGORY = "PEZ";
const EVENT = "pez.progress";
const HEIGHT = 150;

function resultOf(node) {
    if (!node.pezResult) {
        const result = new Result();
        const widget = node.addDOMWidget("pez_result", "pez_result", result.element, {
            serialize: false,
            hideOnZoom: false,
            getMinHeight: () => HEIGHT,
        });
        widget.serialize = false;
        node.pezResult = result;
        const [width, height] = node.computeSize();
        node.setSize([Math.max(width, node.size[0]), Math.max(height, node.size[1])]);
    }
    return node.pezResult;
}

// A node inside subgraphs is named by the way to it, such as "7:3".
function nodeAt(path) {
    let graph = app.rootGraph ?? app.graph;
    let node = null;
    for (const id of String(path).split(":")) {
        node = graph?.getNodeById(Number(id));
        graph = node?.subgraph;
    }
    return node;
}

app.registerExtension({
    name: "PEZ.Results",

    setup() {
        api.addEventListener(EVENT, ({ detail }) => {
            const open = (app.rootGraph ?? app.graph)?.id;
            const elsewhere = detail.workflow && open && detail.workflow !== open;
            const node = elsewhere ? null : nodeAt(detail.node);
            if (node) resultOf(node).showProgress(detail);
        });
    },

    beforeRegisterNodeDef(nodeType, nodeData) {
        if (nodeData.category !== CATEGORY) return;
        const { onExecuted } = nodeType.prototype;
        nodeType.prototype.onExecuted = function (output) {
            onExecuted?.apply(this, arguments);
            const [found] = output?.pez ?? [];
            if (found) resultOf(this).showFound(found);
        };
    },
});
