// What the page says, in the languages it can say it in; another language is another entry of WORDS.
import { app } from "../../scripts/app.js";

export const WORDS = {
    en: {
        similarity: "similarity",
        accuracy: "accuracy",
        step: "step {step} of {steps}",
        left: "{seconds} s left",
        item: "list item {item}",
        page: "{page} of {pages}",
        previous: "Previous result",
        next: "Next result",
        copy: "Copy",
        copyAll: "Copy all",
        copied: "Copied",
    },
    zh: {
        similarity: "相似度",
        accuracy: "准确率",
        step: "第 {step} 步，共 {steps} 步",
        left: "剩余 {seconds} 秒",
        item: "列表第 {item} 项",
        page: "{page} / {pages}",
        previous: "上一个结果",
        next: "下一个结果",
        copy: "复制",
        copyAll: "全部复制",
        copied: "已复制",
        // Notes come from Python in English, and are looked up by what they say.
        "Not enough memory for all candidates; {count} of them went on.": "内存不足以运行全部候选，其中 {count} 个继续搜索。",
        "The text takes {windows} windows of {length} tokens; similarity and pooled feature count the first alone, and lose the last {lost} tokens: {words}":
            "文本占用 {windows} 个窗口，每个窗口 {length} 个词元；相似度和池化特征只计入第一个窗口，丢失最后 {lost} 个词元：{words}",
        "{count} texts were too long for the model, and were cut.": "有 {count} 条文本超出模型长度，已被截断。",
    },
};
const PLACE = /\{(\w+)\}/g;

// The words of the editor's language, English where there are none.
function words() {
    const locale = app.extensionManager.setting.get("Comfy.Locale") ?? "en";
    return { ...WORDS.en, ...(WORDS[locale] ?? WORDS[locale.split("-")[0]]) };
}

export function say(key, values = {}) {
    return fill(words()[key] ?? key, values);
}

// A note of Python's in the editor's language, or as it came.
export function translated(note) {
    for (const [english, other] of Object.entries(words())) {
        const found = pattern(english).exec(note);
        if (found) return fill(other, found.groups ?? {});
    }
    return note;
}

function fill(text, values) {
    return text.replace(PLACE, (_, name) => values[name]);
}

function pattern(english) {
    const parts = english.split(PLACE).map((part, index) => (index % 2 ? `(?<${part}>.*)` : escaped(part)));
    return new RegExp(`^${parts.join("")}$`, "s");
}

function escaped(text) {
    return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
