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
    fr: {
        similarity: "similarité",
        accuracy: "précision",
        step: "étape {step} sur {steps}",
        left: "encore {seconds} s",
        item: "élément {item} de la liste",
        page: "{page} sur {pages}",
        previous: "Résultat précédent",
        next: "Résultat suivant",
        copy: "Copier",
        copyAll: "Tout copier",
        copied: "Copié",
        "Not enough memory for all candidates; {count} of them went on.": "Pas assez de mémoire pour tous les candidats ; {count} ont continué.",
        "The text takes {windows} windows of {length} tokens; similarity and pooled feature count the first alone, and lose the last {lost} tokens: {words}":
            "Le texte prend {windows} fenêtres de {length} tokens ; la similarité et la caractéristique agrégée ne comptent que la première et perdent les {lost} derniers tokens : {words}",
        "{count} texts were too long for the model, and were cut.": "{count} textes étaient trop longs pour le modèle et ont été coupés.",
    },
    es: {
        similarity: "similitud",
        accuracy: "exactitud",
        step: "paso {step} de {steps}",
        left: "quedan {seconds} s",
        item: "elemento {item} de la lista",
        page: "{page} de {pages}",
        previous: "Resultado anterior",
        next: "Resultado siguiente",
        copy: "Copiar",
        copyAll: "Copiar todo",
        copied: "Copiado",
        "Not enough memory for all candidates; {count} of them went on.": "No hay memoria para todos los candidatos; {count} siguieron adelante.",
        "The text takes {windows} windows of {length} tokens; similarity and pooled feature count the first alone, and lose the last {lost} tokens: {words}":
            "El texto ocupa {windows} ventanas de {length} tokens; la similitud y la característica agrupada solo cuentan la primera y pierden los últimos {lost} tokens: {words}",
        "{count} texts were too long for the model, and were cut.": "{count} textos eran demasiado largos para el modelo y se recortaron.",
    },
    "pt-BR": {
        similarity: "similaridade",
        accuracy: "acurácia",
        step: "passo {step} de {steps}",
        left: "faltam {seconds} s",
        item: "item {item} da lista",
        page: "{page} de {pages}",
        previous: "Resultado anterior",
        next: "Próximo resultado",
        copy: "Copiar",
        copyAll: "Copiar tudo",
        copied: "Copiado",
        "Not enough memory for all candidates; {count} of them went on.": "Não há memória para todos os candidatos; {count} continuaram.",
        "The text takes {windows} windows of {length} tokens; similarity and pooled feature count the first alone, and lose the last {lost} tokens: {words}":
            "O texto ocupa {windows} janelas de {length} tokens; a similaridade e a característica agregada contam só a primeira e perdem os últimos {lost} tokens: {words}",
        "{count} texts were too long for the model, and were cut.": "{count} textos eram longos demais para o modelo e foram cortados.",
    },
    ja: {
        similarity: "類似度",
        accuracy: "正解率",
        step: "ステップ {step} / {steps}",
        left: "残り {seconds} 秒",
        item: "リストの {item} 番目",
        page: "{page} / {pages}",
        previous: "前の結果",
        next: "次の結果",
        copy: "コピー",
        copyAll: "すべてコピー",
        copied: "コピーしました",
        "Not enough memory for all candidates; {count} of them went on.": "メモリが足りず、すべての候補は実行できません。{count} 個で続行しました。",
        "The text takes {windows} windows of {length} tokens; similarity and pooled feature count the first alone, and lose the last {lost} tokens: {words}":
            "テキストは {length} トークンのウィンドウ {windows} 個にわたります。類似度とプールされた特徴は最初のウィンドウだけを数え、最後の {lost} トークンは含まれません: {words}",
        "{count} texts were too long for the model, and were cut.": "{count} 件のテキストがモデルには長すぎたため、切り詰められました。",
    },
    ko: {
        similarity: "유사도",
        accuracy: "정확도",
        step: "{steps}단계 중 {step}단계",
        left: "{seconds}초 남음",
        item: "목록의 {item}번째",
        page: "{page} / {pages}",
        previous: "이전 결과",
        next: "다음 결과",
        copy: "복사",
        copyAll: "모두 복사",
        copied: "복사됨",
        "Not enough memory for all candidates; {count} of them went on.": "메모리가 부족해 모든 후보를 실행할 수 없어 {count}개만 계속했습니다.",
        "The text takes {windows} windows of {length} tokens; similarity and pooled feature count the first alone, and lose the last {lost} tokens: {words}":
            "텍스트가 {length}토큰 창 {windows}개를 차지합니다. 유사도와 풀링된 특징은 첫 번째 창만 반영하며 마지막 {lost}개 토큰은 빠집니다: {words}",
        "{count} texts were too long for the model, and were cut.": "텍스트 {count}개가 모델에 너무 길어 잘렸습니다.",
    },
    ru: {
        similarity: "сходство",
        accuracy: "точность",
        step: "шаг {step} из {steps}",
        left: "осталось {seconds} с",
        item: "элемент списка {item}",
        page: "{page} из {pages}",
        previous: "Предыдущий результат",
        next: "Следующий результат",
        copy: "Копировать",
        copyAll: "Копировать все",
        copied: "Скопировано",
        "Not enough memory for all candidates; {count} of them went on.": "Памяти не хватило на всех кандидатов; продолжили работу: {count}.",
        "The text takes {windows} windows of {length} tokens; similarity and pooled feature count the first alone, and lose the last {lost} tokens: {words}":
            "Текст занимает окон: {windows}, по {length} токенов; сходство и объединённый признак учитывают только первое и теряют последние токены ({lost}): {words}",
        "{count} texts were too long for the model, and were cut.": "Слишком длинных для модели текстов, которые были обрезаны: {count}.",
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
