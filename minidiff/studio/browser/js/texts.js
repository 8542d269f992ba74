/** Every text of the page, in English and Vietnamese. {blanks} are filled by `say`. */

export const TEXTS = {
  // the frame
  title: { en: "Write a sentence. Watch a picture form.", vi: "Viết một câu. Xem bức tranh hiện ra." },
  lead: {
    en: "A small model, trained from nothing on a drawn world, paints here in your browser. What you write never leaves it.",
    vi: "Một mô hình nhỏ, học từ con số không trên một thế giới vẽ, đang vẽ ngay trong trình duyệt. Điều bạn viết không "
      + "rời khỏi máy.",
  },
  language: { en: "Tiếng Việt", vi: "English" }, // what the button switches to
  theme: { en: "Light or dark", vi: "Sáng hoặc tối" },
  views: { en: "Views", vi: "Cách xem" },
  prompt: { en: "What should be drawn?", vi: "Bạn muốn vẽ gì?" },
  placeholder: { en: "a red star above a blue house", vi: "một ngôi sao đỏ phía trên một ngôi nhà" },
  seed: { en: "Seed", vi: "Seed" },
  dice: { en: "Another seed, by chance", vi: "Chọn ngẫu nhiên seed khác" },
  draw: { en: "Draw", vi: "Vẽ" },
  examples: { en: "Or try one of these", vi: "Hoặc thử một câu" },
  about: {
    en: "{model}: {million} million numbers, on {threads} of your processor's threads. minidiff {version}.",
    vi: "{model}: {million} triệu con số, chạy trên {threads} luồng của bộ xử lý máy bạn. minidiff {version}.",
  },
  lesson: { en: "Read the lesson about this", vi: "Đọc bài học về phần này" },
  // the first load
  loading: { en: "Fetching the model", vi: "Đang tải mô hình" },
  loading_size: { en: "{loaded} of {total} MB", vi: "{loaded} / {total} MB" },
  loading_once: {
    en: "Only this once: your browser keeps it, and the page then works without a network.",
    vi: "Chỉ lần này thôi: trình duyệt sẽ giữ lại, và sau đó trang chạy được cả khi không có mạng.",
  },
  preparing: { en: "Making the networks ready …", vi: "Đang chuẩn bị các mạng nơ-ron …" },
  // drawing
  drawing: { en: "Drawing …", vi: "Đang vẽ …" },
  drawn: {
    en: "Drawn in {seconds} s, with {evaluations} evaluations of the network.",
    vi: "Vẽ xong sau {seconds} giây, với {evaluations} lần tính mạng.",
  },
  all_drawn: { en: "All drawn.", vi: "Đã vẽ xong tất cả." },
  download: { en: "Download PNG", vi: "Tải ảnh PNG" },
  picture: { en: "Picture of: {prompt}", vi: "Tranh: {prompt}" },
  empty: { en: "Write what to draw, and it will appear here.", vi: "Hãy viết điều cần vẽ, tranh sẽ hiện ra ở đây." },
  bad_seed: {
    en: "The seed is a whole number from 0 to 2147483647.",
    vi: "Seed là một số nguyên từ 0 đến 2147483647.",
  },
  unread: {
    en: "The model reads {most} tokens. It does not see the end: “{rest}”",
    vi: "Mô hình chỉ đọc {most} token. Nó không thấy phần cuối: “{rest}”",
  },
  unknown: {
    en: "Never seen in training: {words}. The model has to guess from the letters.",
    vi: "Chưa gặp khi huấn luyện: {words}. Mô hình phải đoán từ các chữ cái.",
  },
  // views
  view_draw: { en: "Picture", vi: "Bức tranh" },
  view_steps: { en: "Steps", vi: "Từng bước" },
  view_words: { en: "Words", vi: "Các từ" },
  view_change: { en: "One word", vi: "Đổi một từ" },
  view_seeds: { en: "Four seeds", vi: "Bốn seed" },
  view_teacher: { en: "Teacher", vi: "Thầy và trò" },
  intro_steps: {
    en: "Each step looks at a noisy picture and says what it expects to see behind the noise. A part of the way there, "
      + "and it looks again.",
    vi: "Ở mỗi bước, mạng nhìn một ảnh nhiễu và đoán bức tranh ẩn sau lớp nhiễu. Đi một phần đường tới đó, rồi nhìn lại.",
  },
  noisy: { en: "What it sees", vi: "Ảnh nó thấy" },
  expected: { en: "What it expects", vi: "Ảnh nó dự đoán" },
  step: { en: "Step {index} of {n}", vi: "Bước {index} trên {n}" },
  intro_words: {
    en: "Each place of the picture asks the words what belongs there. Choose a piece of your sentence to see where it is "
      + "heard.",
    vi: "Mỗi chỗ trong tranh hỏi các từ xem ở đó nên có gì. Hãy chọn một mảnh của câu để thấy nơi nào lắng nghe nó.",
  },
  tokens: { en: "The sentence as the model reads it", vi: "Câu như mô hình đọc" },
  legend: {
    en: "Share of the attention that goes to this piece: bright where it is looked at most, dark where least.",
    vi: "Phần chú ý dành cho mảnh này: sáng ở nơi nhìn vào nó nhiều nhất, tối ở nơi ít nhất.",
  },
  begin: { en: "start", vi: "đầu câu" },
  end: { en: "end", vi: "cuối câu" },
  intro_change: {
    en: "The same noise under both sentences: what differs between the pictures comes from the words.",
    vi: "Hai câu cùng bắt đầu từ một lớp nhiễu: chỗ khác nhau giữa hai tranh là do lời mà ra.",
  },
  second: { en: "The second sentence", vi: "Câu thứ hai" },
  intro_seeds: {
    en: "One sentence, four beginnings. A seed is the noise that the picture is carved out of; it decides all that you "
      + "left open.",
    vi: "Một câu, bốn điểm bắt đầu. Seed là lớp nhiễu mà bức tranh được gọt ra; nó quyết định mọi điều bạn chưa nói.",
  },
  use_seed: { en: "Keep seed {seed}", vi: "Giữ seed {seed}" },
  student_name: { en: "Student, {steps} steps", vi: "Mô hình trò, {steps} bước" },
  teacher_name: { en: "Teacher, {steps} steps", vi: "Mô hình thầy, {steps} bước" },
  figures: { en: "{seconds} s · {evaluations} evaluations", vi: "{seconds} giây · {evaluations} lần tính" },
  teacher_preparing: { en: "The teacher is made ready …", vi: "Đang chuẩn bị mô hình thầy …" },
  distilled: {
    en: "In each of its {steps} steps the teacher asks its network twice, with your sentence and with an empty one, and "
      + "goes {guidance} times the way from the second answer to the first: that is guidance. The student is the same "
      + "network with a small update, a LoRA. It learnt to make in one step, with a single answer, what takes two guided "
      + "steps; then once more, to make two of those steps in one.",
    vi: "Ở mỗi bước trong {steps} bước, mô hình thầy hỏi mạng hai lần, với câu của bạn và với câu rỗng, rồi đi gấp "
      + "{guidance} lần quãng đường từ câu trả lời sau đến câu trả lời trước: đó là dẫn hướng. Mô hình trò là chính mạng ấy "
      + "cộng một cập nhật nhỏ, gọi là LoRA. Nó học cách chỉ đi một bước, với một câu trả lời, thay cho hai bước có dẫn "
      + "hướng; rồi học thêm lần nữa, gộp hai bước như thế thành một.",
  },
  lost: {
    en: "What was lost: without the second answer there is no negative prompt, and no guidance to turn up or down. And "
      + "where the teacher would still hesitate and refine, the student has to decide early.",
    vi: "Cái giá phải trả: không còn câu trả lời thứ hai thì không có mô tả cần tránh, cũng không chỉnh được dẫn hướng "
      + "mạnh hay nhẹ. Và chỗ mà thầy còn cân nhắc, chỉnh dần, thì trò phải quyết ngay từ sớm.",
  },
  // troubles
  error_wasm: {
    en: "This browser has no WebAssembly, or it is turned off: the networks can't run here.",
    vi: "Trình duyệt này không có WebAssembly hoặc đã tắt nó: không chạy được các mạng ở đây.",
  },
  error_simd: {
    en: "This browser's WebAssembly has no SIMD, which the networks need: a newer browser has it.",
    vi: "WebAssembly của trình duyệt này thiếu SIMD mà các mạng cần đến: trình duyệt mới hơn sẽ có.",
  },
  error_missing: {
    en: "The file {file} could not be fetched: check the connection, then load the page again.",
    vi: "Không tải được tệp {file}: hãy kiểm tra kết nối rồi tải lại trang.",
  },
  error_damaged: {
    en: "The file {file} is damaged: load the page again, and if that does not help, export it again.",
    vi: "Tệp {file} bị hỏng: hãy tải lại trang; nếu vẫn vậy thì cần xuất lại trang.",
  },
  error_format: {
    en: "model/about.json is of another format ({format}) than this page reads: export page and model together.",
    vi: "model/about.json có định dạng khác ({format}) với định dạng trang này đọc: hãy xuất trang và mô hình cùng nhau.",
  },
  error_memory: {
    en: "There was not enough memory: close other tabs, then load the page again.",
    vi: "Không đủ bộ nhớ: hãy đóng bớt thẻ khác rồi tải lại trang.",
  },
  error_numbers: {
    en: "The networks gave numbers that are not finite, so there is no picture: export the page again.",
    vi: "Mạng cho ra các số không hữu hạn nên không có tranh: cần xuất lại trang.",
  },
  error_unknown: { en: "Something went wrong: {said}", vi: "Đã có lỗi: {said}" },
};

/** @param {string} key  @param {"en" | "vi"} lang  @param {Object<string, string|number>} [values] */
export function say(key, lang, values = {}) {
  return TEXTS[key][lang].replace(/\{(\w+)\}/g, (blank, name) => values[name] ?? blank);
}

/** @param {number} value  @param {"en" | "vi"} lang  @param {number} digits after the point, or comma */
export function number(value, lang, digits = 1) {
  return value.toLocaleString(lang, { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: false });
}

export const EXAMPLES = [
  "a big red star left of a small blue house at night",
  "hai con cá màu vàng trên biển",
  "three purple balloons in a meadow",
  "một cái cây xanh lá bên phải một ngôi nhà đỏ",
  "an orange cat below a yellow moon",
  "một con thuyền trắng lúc hoàng hôn",
];

/** The notebook that teaches what a view shows, by its name in the course. */
export const LESSONS = {
  draw: "00_tour",
  steps: "04_samplers",
  words: "07_words",
  change: "06_clip",
  seeds: "02_ddpm",
  teacher: "05_guidance",
};

/** What the second sentence says instead: longer phrases first, since "xanh" alone is no colour. */
export const EXCHANGES = [
  ["xanh dương", "đỏ"], ["xanh da trời", "đỏ"], ["xanh lam", "đỏ"], ["xanh lá cây", "tím"], ["xanh lá", "tím"], ["xanh lục", "tím"],
  ["đỏ", "xanh dương"], ["vàng", "tím"], ["tím", "vàng"], ["cam", "xanh dương"], ["hồng", "xanh lá"], ["trắng", "đỏ"],
  ["nâu", "xanh lá"], ["đen", "vàng"],
  ["red", "blue"], ["blue", "red"], ["yellow", "purple"], ["purple", "yellow"], ["green", "orange"], ["orange", "green"],
  ["pink", "green"], ["white", "red"], ["brown", "pink"], ["black", "yellow"],
  ["ngôi sao", "trái tim"], ["ngôi nhà", "cái cây"], ["con mèo", "con chim"], ["con cá", "con mèo"], ["con chim", "con cá"],
  ["star", "heart"], ["house", "tree"], ["tree", "house"], ["cat", "bird"], ["fish", "cat"], ["bird", "fish"], ["heart", "star"],
  ["nhỏ", "lớn"], ["lớn", "nhỏ"], ["small", "big"], ["big", "small"], ["night", "sunset"], ["đêm", "ngày"],
];
