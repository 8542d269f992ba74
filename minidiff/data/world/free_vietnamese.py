"""Vietnamese as people type it: the rules from which `free_captions` writes. Accents are taken off there."""

from __future__ import annotations

import random
import re

from minidiff.data.world.scenes import Group

# Names of each kind, with and without classifiers; the commonest stands first and is taken half of the time.
KINDS: dict[str, tuple[str, ...]] = {
    "circle": ("hình tròn", "hình tròn", "vòng tròn", "cái hình tròn", "đường tròn", "chấm tròn"),
    "square": ("hình vuông", "hình vuông", "ô vuông", "cái hình vuông", "khối vuông"),
    "triangle": ("hình tam giác", "tam giác", "cái hình tam giác", "cái tam giác", "hình ba góc"),
    "star": ("ngôi sao", "sao", "ông sao", "ngôi sao năm cánh", "vì sao", "cái ngôi sao", "hình ngôi sao", "sao năm cánh"),
    "heart": ("trái tim", "quả tim", "hình trái tim", "tim", "hình tim", "cái trái tim", "con tim"),
    "diamond": ("hình thoi", "hình thoi", "viên kim cương", "kim cương", "cái hình thoi", "hình kim cương"),
    "house": ("ngôi nhà", "căn nhà", "cái nhà", "nhà", "nhà", "mái nhà", "căn hộ", "nếp nhà", "túp lều"),
    "tree": ("cái cây", "cây", "cây", "cây cổ thụ", "gốc cây", "thân cây", "cây cao"),
    "car": ("chiếc xe hơi", "xe hơi", "ô tô", "chiếc ô tô", "xe ô tô", "cái xe", "chiếc xe", "xe con", "con xe", "cái ô tô", "oto", "xe", "chiếc oto", "xế hộp", "cái xe hơi"),
    "boat": ("chiếc thuyền", "con thuyền", "thuyền", "thuyền buồm", "chiếc ghe", "ghe", "cái thuyền", "con tàu", "chiếc tàu", "du thuyền", "chiếc thuyền buồm", "cánh buồm", "tàu"),
    "fish": ("con cá", "cá", "cá", "chú cá", "con cá cảnh", "bé cá", "em cá"),
    "bird": ("con chim", "chú chim", "chim", "chim", "cánh chim", "chim sẻ", "chú chim sẻ", "bé chim", "con chim sẻ"),
    "cat": ("con mèo", "chú mèo", "mèo", "mèo", "mèo con", "bé mèo", "con miu", "em mèo", "cô mèo", "chú mèo con", "con mèo con", "miu miu", "anh mèo"),
    "flower": ("bông hoa", "hoa", "bông", "đóa hoa", "đoá hoa", "cái hoa", "cái bông", "nụ hoa", "cành hoa", "bông cúc", "hoa cúc"),
    "moon": ("mặt trăng", "trăng", "vầng trăng", "ông trăng", "trăng khuyết", "mảnh trăng", "trăng lưỡi liềm", "vầng trăng khuyết", "trăng non", "chị Hằng"),
    "cloud": ("đám mây", "mây", "áng mây", "cụm mây", "gợn mây", "cái đám mây", "cục mây"),
    "balloon": ("quả bóng bay", "bóng bay", "bong bóng", "trái bong bóng", "quả bong bóng", "trái bóng bay", "cái bong bóng", "cái bóng bay", "chiếc bong bóng", "chiếc bóng bay"),
    "umbrella": ("chiếc ô", "cái ô", "ô", "cây dù", "dù", "cái dù", "chiếc dù", "cây ô", "ô che mưa", "ô dù", "cái ô che nắng", "dù che nắng"),
}  # fmt: skip

RULES: dict[str, tuple[str, ...]] = {
    # --- một thứ ---
    "number 1": ("một",) * 9 + ("1", "1", "", "", "", "", "", "", "đúng một", "chỉ một", "duy nhất một", "có một", "một"),
    "number 2": ("hai",) * 6 + ("2", "2", "2", "2", "đôi", "một đôi", "cặp", "một cặp", "cả hai", "đúng hai", "một cặp", "có hai", "hai"),
    "number 3": ("ba",) * 6 + ("3", "3", "3", "3", "bộ ba", "đúng ba", "một nhóm ba", "cả ba", "có ba", "đúng 3", "bộ 3"),
    "number 4": ("bốn",) * 6 + ("4", "4", "4", "4", "bộ bốn", "đúng bốn", "một nhóm bốn", "cả bốn", "có bốn", "đúng 4", "bộ tứ"),
    "size small": ("nhỏ",) * 6 + ("bé", "bé", "bé", "nhỏ xíu", "bé xíu", "tí hon", "nho nhỏ", "bé tí", "nhỏ nhắn", "tí xíu", "bé nhỏ", "nhỏ bé", "bé tẹo", "rất nhỏ", "nhỏ thôi", "be bé", "cỡ nhỏ", "mini", "nhỏ tí"),
    "size big": ("to",) * 5 + ("lớn",) * 4 + ("bự", "bự", "to lớn", "khổng lồ", "to đùng", "to bự", "bự chảng", "rất to", "to tướng", "cỡ lớn", "rất lớn", "thật to", "thiệt bự", "to thật to", "to ơi là to", "cỡ bự"),
    "colour red": ("đỏ",) * 9 + ("đỏ tươi", "đỏ thắm", "đỏ rực", "đỏ chót", "đỏ au", "đỏ đậm", "đo đỏ"),
    "colour orange": ("cam",) * 9 + ("da cam", "da cam", "cam tươi", "cam đậm", "vàng cam", "cam sáng"),
    "colour yellow": ("vàng",) * 9 + ("vàng tươi", "vàng óng", "vàng chanh", "vàng ươm", "vàng rực", "vàng nhạt", "vàng chóe"),
    "colour green": ("xanh lá",) * 5 + ("xanh lá cây",) * 4 + ("xanh lục", "xanh lục", "xanh lá mạ", "lục", "xanh lá đậm", "xanh lá non", "xanh", "xanh", "xanh", "xanh rêu", "xanh ngọc lục bảo"),
    "colour blue": ("xanh dương",) * 4 + ("xanh da trời",) * 3 + ("xanh lam", "xanh lam", "xanh nước biển", "xanh nước biển", "xanh biển", "xanh biển", "lam", "xanh dương đậm", "xanh da trời nhạt", "xanh", "xanh", "xanh", "xanh lơ", "xanh coban", "xanh navy"),
    "colour purple": ("tím",) * 9 + ("tím đậm", "tím nhạt", "tím biếc", "tím hoa cà", "tím tím", "tím lịm", "tím mộng mơ"),
    "colour pink": ("hồng",) * 9 + ("hồng phấn", "hồng nhạt", "hường", "hồng tươi", "hồng đậm", "hồng hồng", "hồng cánh sen"),
    "colour brown": ("nâu",) * 9 + ("nâu đất", "nâu đậm", "nâu sậm", "nâu nhạt", "nâu sô cô la", "nâu cà phê", "nâu gỗ"),
    "colour black": ("đen",) * 9 + ("đen tuyền", "đen thui", "đen nhánh", "đen xì", "đen sì", "đen bóng", "đen kịt"),
    "colour white": ("trắng",) * 9 + ("trắng tinh", "trắng muốt", "trắng toát", "trắng phau", "trắng ngần", "trắng như tuyết", "trắng sữa", "trắng bóc"),
    "nice": ("dễ thương", "xinh xắn", "đẹp", "đáng yêu", "xinh", "cute", "ngộ nghĩnh", "thật đẹp", "vui vẻ", "hiền lành", "đơn giản", "hoạt hình", "lấp lánh", "cũ", "thân thiện", "ngầu", "bóng bẩy", "xinh xinh"),
    "k": ("{kind}",) * 10 + ("{kind} {nice}",),
    "tinted": ("màu {colour}",) * 8 + ("{colour}",) * 9 + ("mầu {colour}", "có màu {colour}", "sắc {colour}"),
    "thing": ("{number} {k}",) * 12 + ("{kind}", "{kind}", "{number} {k} {doing}", "{k} {doing}", "{kind} ({number})"),
    "thing colour": ("{number} {k} {tinted}",) * 16 + (
        "{kind} {colour}", "{kind} {tinted}", "{kind} {colour}", "{number} {k}, màu {colour}", "{number} {k} có màu {colour}", "{number} {k} được tô màu {colour}", "{number} {k} sơn màu {colour}", "{number} {k} ({colour})",
        "{number} {k} mà màu {colour}", "{number} {k} toàn màu {colour}", "{number} {k} {tinted} {doing}", "{number} {k} {tinted} {nice}", "{k} {tinted} {doing}", "{number} {k} thì màu {colour}", "{number} {k} với màu {colour}", "{number} {k} {all} màu {colour}",
        "{number} {k} tông {colour}", "{number} {k} {doing} màu {colour}", "màu {colour}: {number} {k}", "{kind}: {colour}", "{number} {k}, {all} {colour}", "{number} {k} nhuộm {colour}", "{number} {k} là màu {colour}",
    ),
    "thing size": ("{number} {k} {size}",) * 12 + ("{kind} {size}", "{kind} {size}", "{number} {k}, {size}", "{number} {k} cỡ {size}", "{number} {k} thật {size}", "{number} {k} ({size})", "{number} {k} {size} {doing}", "{number} {k} mà {size}", "{number} {k} {size} {nice}", "{number} {k} trông {size}", "{number} {k} loại {size}"),
    "thing size colour": ("{number} {k} {size} {tinted}",) * 10 + ("{number} {k} {tinted} {size}",) * 6 + (
        "{kind} {size} {colour}", "{kind} {colour} {size}", "{number} {k} {size}, màu {colour}", "{number} {k} màu {colour}, {size}", "{number} {k} {size} và có màu {colour}", "{number} {k} vừa {size} vừa {colour}", "{number} {k} {size} mà {colour}", "{number} {k} ({size}, {colour})",
        "{number} {k} {tinted} cỡ {size}", "{number} {k} {size} {tinted} {doing}", "{number} {k} {nice} {size} màu {colour}", "{number} {k} {size} được tô màu {colour}", "{number} {k} màu {colour} và {size}", "{kind}, {size}, {colour}", "{size} và {colour}: {number} {k}", "{number} {k} {size} sơn {colour}", "{number} {k} {colour}, trông {size}",
    ),
    "all 1": ("toàn", "hoàn toàn", "chỉ", "toàn bộ"), "all 2": ("đều", "cả hai đều", "cùng", "hai cái đều"), "all 3": ("đều", "cả ba đều", "cùng", "tất cả đều"), "all 4": ("đều", "cả bốn đều", "cùng", "tất cả đều"),
    "doing circle": ("", "được vẽ ra"), "doing square": ("", "được vẽ ra"), "doing triangle": ("", "được vẽ ra"), "doing star": ("lấp lánh", "tỏa sáng", "đang sáng", "phát sáng", ""), "doing heart": ("", "lơ lửng", "đang đập"), "doing diamond": ("lấp lánh", ""),
    "doing house": ("đứng đó", "", "nằm đó", "được xây"), "doing tree": ("mọc", "đang mọc", "đứng đó", "mọc lên", "đứng sừng sững"), "doing car": ("đang đậu", "đỗ", "đang chạy", "đậu đó", "đang đỗ"), "doing boat": ("đang trôi", "neo đậu", "lênh đênh", "đang chạy", "bồng bềnh"),
    "doing fish": ("đang bơi", "bơi lội", "bơi", "tung tăng", "đang lặn"), "doing bird": ("đang bay", "bay", "đang đậu", "bay lượn", "đậu đó"), "doing cat": ("đang ngồi", "ngồi", "đang ngủ", "nằm", "đứng", "nằm ngủ", "đang nằm"), "doing flower": ("đang nở", "nở", "mọc", "nở rộ", "khoe sắc"),
    "doing moon": ("đang sáng", "treo lơ lửng", "tỏa sáng", "đang lên"), "doing cloud": ("đang trôi", "bay", "lơ lửng", "trôi lững lờ"), "doing balloon": ("đang bay", "bay", "lơ lửng", "bay lên"), "doing umbrella": ("đang mở", "dựng đó", "xòe ra", "bung ra"),
    # --- một thứ và chỗ của nó ---
    "one": ("{a}",) * 10 + ("có {a}", "chỉ có {a}", "chỉ {a} thôi", "{a}, không có gì khác", "đây là {a}", "chỉ duy nhất {a}", "{a} thôi", "là {a}", "ở đây có {a}"),
    "one at": ("{a} {at}",) * 8 + (
        "{at} {a}", "{at} là {a}", "{at}, {a}", "{at}: {a}", "{at} có {a}", "{at} có {a}", "{a}, {at}", "{a} - {at}", "{a} nằm {at}", "{a} được đặt {at}", "có {a} {at}", "đặt {a} {at}", "{a} đứng {at}", "{a} thì {at}", "{a} nằm ngay {at}", "{a} xuất hiện {at}",
        "{side}: {a}", "{a} ({side})", "{a}, {side}", "để {a} {at}", "{at} thì có {a}", "{side} {a}", "{a} vẽ {at}", "{at} hãy đặt {a}",
    ),
    "at left": ("ở bên trái", "ở bên trái", "bên trái", "ở phía bên trái", "phía bên trái", "phía trái", "ở bên tay trái", "ở mé trái", "ở nửa bên trái", "bên trái bức tranh", "ở phần bên trái", "bên trái khung hình", "về phía bên trái", "lệch về bên trái", "bên tay trái", "ở mép trái", "sát bên trái", "ở phía tay trái"),
    "at right": ("ở bên phải", "ở bên phải", "bên phải", "ở phía bên phải", "phía bên phải", "phía phải", "ở bên tay phải", "ở mé phải", "ở nửa bên phải", "bên phải bức tranh", "ở phần bên phải", "bên phải khung hình", "về phía bên phải", "lệch về bên phải", "bên tay phải", "ở mép phải", "sát bên phải", "bên tay mặt", "ở phía tay phải"),
    "at top": ("ở phía trên", "ở trên cùng", "ở trên cao", "phía trên", "ở bên trên", "trên cùng", "ở nửa trên", "ở phần trên", "phía trên bức tranh", "ở đầu bức tranh", "tít trên cao", "trên cao", "ở mép trên", "ở trên", "lên trên cùng", "ở tít trên cùng"),
    "at bottom": ("ở phía dưới", "ở dưới cùng", "phía dưới", "ở bên dưới", "dưới cùng", "ở nửa dưới", "ở phần dưới", "phía dưới bức tranh", "ở cuối bức tranh", "dưới đáy", "ở mép dưới", "ở dưới", "sát phía dưới", "ở tít dưới cùng", "dưới thấp"),
    "at middle": ("ở giữa", "ở giữa", "ở chính giữa", "chính giữa", "ngay giữa", "ở trung tâm", "giữa tranh", "ở giữa bức tranh", "ngay chính giữa", "ở tâm", "giữa khung hình", "nằm giữa", "ngay trung tâm", "ở ngay giữa hình", "vào giữa"),
    "side left": ("bên trái", "bên trái", "ở bên trái", "phía trái", "phía bên trái", "bên tay trái", "phía tay trái", "ở phía bên trái", "trái", "mé trái"), "side right": ("bên phải", "bên phải", "ở bên phải", "phía phải", "phía bên phải", "bên tay phải", "phía tay phải", "ở phía bên phải", "phải", "mé phải", "tay mặt"),
    "side top": ("phía trên", "ở trên", "bên trên", "trên", "trên cao", "ở phía trên", "trên cùng", "nửa trên"), "side bottom": ("phía dưới", "ở dưới", "bên dưới", "dưới", "dưới thấp", "ở phía dưới", "dưới cùng", "nửa dưới"), "side middle": ("ở giữa", "giữa", "chính giữa", "trung tâm"),
    # --- hai thứ ---
    "beside": ("và",) * 9 + ("với", "với", "cùng", "cùng với", "bên cạnh", "bên cạnh", "cạnh", "gần", "kế bên", "ở gần", "nằm cạnh", "&", "+", ",", ",", "kèm", "và cả", "kề bên", "sát bên", "đi cùng", "và thêm", "đứng cạnh", "ở cạnh", "không xa", "kế", "ở kế bên", "ngay cạnh", "lẫn", "làm bạn với", "ngay bên"),
    "two": ("{a} {beside} {b}",) * 12 + (
        "{b} {beside} {a}", "{b} {beside} {a}", "{b} {beside} {a}", "cả {a} lẫn {b}", "cả {a} và {b}", "có {a} {beside} {b}", "{a} và {b} ở cạnh nhau", "{a} và {b} bên nhau", "{a} và {b} gần nhau", "{a}. {b}", "{a}, {b}", "{b}, {a}", "{a}; thêm {b}", "có {a}, có {b}", "{a}, thêm {b} nữa", "{a} rồi {b}",
        "bên cạnh {b} là {a}", "bên cạnh {a} có {b}", "gần {b} có {a}", "{a} với {b} cùng nhau", "{a} và {b} đứng chung", "vừa có {a} vừa có {b}", "{a}, ngoài ra còn có {b}", "hai thứ: {a} và {b}", "{a} / {b}", "{b} có {a} bên cạnh", "{a} và {b} trong cùng một hình", "{a} cùng {b} kề nhau",
    ),
    "v": ("",) * 10 + ("nằm", "đứng", "đặt", "ngồi", "thì", "được đặt", "ở", "ở ngay", "ngay", "nằm ngay", "xuất hiện", "đậu", "mà"),
    "của": ("",) * 5 + ("của", "so với", ""),
    "of left": ("bên trái {của}", "ở bên trái {của}", "ở bên trái {của}", "nằm bên trái {của}", "ở phía bên trái {của}", "phía bên trái {của}", "phía trái {của}", "về phía trái {của}", "bên tay trái {của}", "ở mé trái {của}", "phía tay trái {của}"),
    "of right": ("bên phải {của}", "ở bên phải {của}", "ở bên phải {của}", "nằm bên phải {của}", "ở phía bên phải {của}", "phía bên phải {của}", "phía phải {của}", "về phía phải {của}", "bên tay phải {của}", "ở mé phải {của}", "phía tay phải {của}", "bên tay mặt {của}"),
    "of above": ("ở trên", "ở trên", "phía trên", "phía trên", "ở phía trên", "bên trên", "trên", "trên", "nằm trên", "lơ lửng trên", "đậu trên", "ngồi trên", "treo trên", "cao hơn", "bay trên", "bay phía trên", "đứng trên", "ngay trên", "ở ngay phía trên", "ở bên trên", "trên đầu", "trên nóc", "bay ngang trên", "lơ lửng bên trên", "ở trên cao so với", "che trên"),
    "of below": ("ở dưới", "ở dưới", "phía dưới", "phía dưới", "ở phía dưới", "bên dưới", "dưới", "dưới", "nằm dưới", "đứng dưới", "ngồi dưới", "núp dưới", "trú dưới", "dưới chân", "thấp hơn", "ngay dưới", "ở ngay phía dưới", "ở bên dưới", "dưới gốc", "nấp dưới", "trốn dưới", "đậu dưới", "đặt dưới"),
    "there left": ("bên trái", "ở bên trái", "phía bên trái nó", "bên trái nó", "nằm bên trái", "ở phía trái"), "there right": ("bên phải", "ở bên phải", "phía bên phải nó", "bên phải nó", "nằm bên phải", "ở phía phải"),
    "there above": ("phía trên", "ở trên", "bên trên", "ở phía trên", "trên đầu", "trên nó", "phía trên nó", "bên trên nó"), "there below": ("phía dưới", "ở dưới", "bên dưới", "ở phía dưới", "dưới nó", "phía dưới nó", "bên dưới nó", "ngay dưới"),
    "short left": ("trái",), "short right": ("phải",), "short top": ("trên",), "short bottom": ("dưới",),
    "two related": ("{a} {v} {of} {b}",) * 24 + ("{b} {v} {fo} {a}",) * 10 + (
        "{b} với {a} {there}", "{b} có {a} {there}", "{b} và {a} {there}", "{b}, {there} là {a}", "{b}, {there} có {a}", "{b}. {there} là {a}", "{b} mà {there} có {a}", "{of} {b} là {a}", "{of} {b} có {a}", "{of} {b} có {a}", "{of} {b}, {a}", "{of} {b}: {a}", "{of} {b} {a}", "{fo} {a} là {b}", "{fo} {a} có {b}", "{fo} {a}, {b}", "{fo} {a} thì có {b}",
        "{side a} {a}, {side b} {b}", "{side a} là {a}, {side b} là {b}", "{side b} là {b}, {side a} là {a}", "{side a} có {a}, {side b} có {b}", "{side b} có {b} còn {side a} có {a}", "{side a} là {a} còn {side b} là {b}", "{side b} {b}, {side a} {a}", "{side a}: {a}, {side b}: {b}", "{side b}: {b}; {side a}: {a}", "{side a} {a} và {side b} {b}", "{side a} thì {a}, {side b} thì {b}",
        "{a} {side a}, {b} {side b}", "{a} {side a} và {b} {side b}", "{b} {side b}, {a} {side a}", "{b} {side b} và {a} {side a}", "{a} ({side a}), {b} ({side b})", "{a} ở {side a} còn {b} ở {side b}", "{b} nằm {side b}, {a} nằm {side a}", "{a} {side a}, còn {b} thì {side b}",
        "{short a} {a} {short b} {b}", "{short a}: {a} / {short b}: {b}", "{short a} là {a}, {short b} là {b}", "đặt {a} {of} {b}", "{a}, {of} {b}", "{a} nằm {of} {b}", "có {a} {of} {b}", "{a} mà {of} {b}", "{a} - {of} {b}", "{b}, {of} đó là {a}", "{b} và {of} nó là {a}", "{b}, {a} {of} nó", "cho {a} {of} {b}",
    ),
    # --- ba thứ ---
    "three": ("{a}, {b} và {c}",) * 7 + (
        "{b}, {c} và {a}", "{c}, {a} và {b}", "{a} và {b} và {c}", "{a}, {b}, {c}", "{c}, {b}, {a}", "{a} với {b} và {c}", "{a} + {b} + {c}", "{a}, {b}, thêm cả {c}", "{a}, {b} cùng {c}", "có {a}, {b} và {c}", "ba thứ: {a}, {b} và {c}", "{a} và {b}, cùng với {c}", "{a} bên cạnh {b} và {c}", "{a}; {b}; {c}", "{a}. {b}. {c}", "{a} gần {b}, có cả {c}",
        "{a} cùng với {b} và {c}", "{b} {beside} {c} {beside} {a}", "{a}, rồi {b}, rồi {c}", "có {a}, có {b}, có cả {c}", "{a} & {b} & {c}", "{a} với {b} với {c}", "gồm {a}, {b} và {c}",
    ),
    "pair": ("{b} và {c}", "{b} và {c}", "{b} và {c}", "{c} và {b}", "{b} với {c}"),
    "amid": ("ở giữa", "ở giữa", "nằm giữa", "nằm giữa", "giữa", "đứng giữa", "kẹp giữa", "ở khoảng giữa", "xen giữa", "ngồi giữa", "nằm chính giữa", "đặt giữa", "ở chính giữa"),
    "between": ("{a} {amid} {pair}",) * 14 + (
        "giữa {pair} là {a}", "giữa {pair} có {a}", "ở giữa {pair} là {a}", "ở giữa {pair} có {a}", "giữa {pair}, {a}", "{pair}, ở giữa là {a}", "{pair} và {a} ở giữa", "{pair} có {a} ở giữa", "{pair} với {a} nằm giữa", "{a} ở giữa, hai bên là {pair}", "{a} ở giữa, một bên là {b}, bên kia là {c}", "hai bên {a} là {pair}", "hai bên là {pair}, ở giữa là {a}",
        "một bên là {b}, một bên là {c}, ở giữa là {a}", "{b} bên này, {c} bên kia, {a} ở giữa", "{a} với hai bên là {pair}", "{a} bị kẹp giữa {pair}", "{pair} ở hai bên {a}", "giữa: {a}, hai bên: {b}, {c}", "{b}, {c}, chính giữa là {a}", "{b} bên trái, {c} bên phải, {a} ở giữa", "{a} được bao quanh bởi {pair}", "{b} rồi {a} rồi {c} xếp hàng", "{a} chen giữa {pair}", "{a} có {b} một bên và {c} bên còn lại", "ở giữa {a}, hai bên {b} {c}",
    ),
    # --- màu nói sau ---
    "later": ("{kind} màu {colour}", "{kind} thì màu {colour}", "{kind} có màu {colour}", "{kind} {colour}", "{kind} là màu {colour}", "tô {kind} màu {colour}", "{kind}: {colour}", "{kind} phải màu {colour}"),
    "later sep": (". ", ", ", "; ", " - ", ", trong đó ", ". "), "later join": (", ", " và ", ", còn ", "; "),
    # --- bối cảnh ---
    "with setting": ("{body} {in}",) * 10 + (
        "{body}, {in}", "{body}, {in}", "{body}, {in}", "{in}, {body}", "{in}, {body}", "{in} {body}", "{in} có {body}", "{in} là {body}", "{in}: {body}", "{body}. {clause}", "{clause}. {body}", "{body}, {clause}", "{clause}, {body}", "{clause}, có {body}", "{body} khi {clause}", "{body} mà {clause}",
        "{body} - {short}", "{short}, {body}", "{body}, {short}", "{body}, {short}", "cảnh {short} có {body}", "khung cảnh {short}, {body}", "{body}, bối cảnh {short}", "{body}, phông nền {short}", "{body}, nền: {short}", "{body} ({short})", "{short}: {body}", "bối cảnh: {short}. {body}", "{body}; {in}", "{short}. {body}", "{body}. {in}", "{body} / {short}", "{body} + {short}", "{body}, cảnh {short}",
    ),
    "in plain": ("trên nền trơn", "trên nền trơn", "trên nền đơn giản", "trên nền trống", "với nền trơn", "trên phông nền trơn", "không có nền", "trên nền đơn sắc", "với nền đơn giản", "trên phông trơn", "không có gì phía sau", "trên nền trống trơn", "trên một nền trơn", "không có cảnh nền", "không nền"),
    "clause plain": ("nền trơn", "nền đơn giản thôi", "phía sau không có gì", "nền để trống", "không cần nền", "nền để trơn", "phông nền trơn", "nền trống"),
    "short plain": ("nền trơn", "nền đơn giản", "nền trống", "phông trơn", "không nền", "nền đơn sắc"),
    "in day": ("vào ban ngày", "vào ban ngày", "giữa ban ngày", "trên bầu trời ban ngày", "lúc ban ngày", "ban ngày", "dưới trời nắng", "trong ngày nắng", "vào một ngày nắng", "giữa trưa", "dưới bầu trời xanh", "giữa trời nắng", "trong nắng", "vào buổi trưa", "trên bầu trời xanh", "lúc trời nắng", "vào một ngày đẹp trời", "lúc giữa trưa", "trên trời ban ngày"),
    "clause day": ("trời nắng", "trời đang nắng", "đang là ban ngày", "trời sáng", "trời trong xanh", "trời nắng đẹp", "trời quang", "đang giữa trưa", "bầu trời trong xanh", "hôm nay trời nắng"),
    "short day": ("ban ngày", "trời nắng", "ngày nắng", "trời xanh", "buổi trưa", "bầu trời ban ngày", "ngày", "nắng", "giữa trưa"),
    "in night": ("vào ban đêm", "vào ban đêm", "trong đêm", "dưới bầu trời đêm", "lúc ban đêm", "ban đêm", "vào buổi đêm", "giữa đêm", "lúc nửa đêm", "trong đêm tối", "dưới bầu trời đầy sao", "trên bầu trời đêm", "giữa trời đêm", "vào buổi tối", "lúc trời tối", "trong bóng tối", "đêm khuya", "lúc đêm khuya", "dưới trời sao", "trên nền trời đêm", "lúc tối trời"),
    "clause night": ("trời tối", "trời đã tối", "đang là ban đêm", "trời đầy sao", "đêm đã khuya", "bầu trời đầy sao", "trời tối đen", "đang là đêm", "trời tối om", "đêm xuống"),
    "short night": ("ban đêm", "đêm", "buổi tối", "trời đêm", "đêm tối", "đêm khuya", "nửa đêm", "bầu trời đêm", "đêm đầy sao", "buổi đêm", "tối"),
    "in sea": ("trên biển", "trên biển", "ngoài biển", "bên bờ biển", "ở biển", "giữa biển", "dưới biển", "ngoài khơi", "trên mặt biển", "trên sóng nước", "trên đại dương", "giữa đại dương", "trên mặt nước", "gần biển", "cạnh biển", "ở ngoài khơi", "giữa biển khơi", "ra biển", "trên sóng", "bên biển", "ngoài biển khơi"),
    "clause sea": ("xung quanh là biển", "phía sau là biển", "nền là biển", "cảnh là biển", "đang ở ngoài biển", "chung quanh toàn nước", "có sóng biển", "bối cảnh ở biển"),
    "short sea": ("biển", "ngoài biển", "bờ biển", "đại dương", "biển khơi", "mặt biển", "ngoài khơi", "sóng biển", "cảnh biển"),
    "in meadow": ("trên đồng cỏ", "trên đồng cỏ", "trên bãi cỏ", "trên cỏ", "giữa đồng cỏ", "ngoài đồng", "trên thảm cỏ", "ở đồng cỏ", "trên cánh đồng", "giữa cánh đồng", "trong bãi cỏ", "trên nền cỏ", "ngoài bãi cỏ", "trên cánh đồng cỏ", "trên thảm cỏ xanh", "giữa đồng", "trên đám cỏ", "trên mặt cỏ", "ngoài đồng cỏ"),
    "clause meadow": ("xung quanh là cỏ", "nền là đồng cỏ", "dưới đất toàn cỏ", "cảnh là đồng cỏ", "có cỏ ở dưới", "đang ở đồng cỏ", "khắp nơi là cỏ"),
    "short meadow": ("đồng cỏ", "bãi cỏ", "cánh đồng", "thảm cỏ", "cỏ", "nền cỏ", "đồng quê", "đồng cỏ xanh"),
    "in sunset": ("lúc hoàng hôn", "lúc hoàng hôn", "lúc hoàng hôn trên núi", "vào hoàng hôn", "lúc chiều tà", "khi mặt trời lặn", "lúc mặt trời lặn", "lúc mặt trời xuống núi", "trong ánh hoàng hôn", "vào lúc hoàng hôn", "dưới ánh hoàng hôn", "vào buổi chiều tà", "lúc chạng vạng", "lúc xế chiều", "giữa hoàng hôn", "buổi hoàng hôn", "trong buổi chiều tà", "trên nền hoàng hôn", "lúc chiều tối", "trước dãy núi lúc hoàng hôn"),
    "clause sunset": ("mặt trời đang lặn", "mặt trời lặn", "trời đang hoàng hôn", "đang là hoàng hôn", "trời chiều tà", "mặt trời xuống núi", "hoàng hôn buông xuống", "mặt trời khuất sau núi", "trời về chiều"),
    "short sunset": ("hoàng hôn", "chiều tà", "mặt trời lặn", "hoàng hôn trên núi", "chạng vạng", "buổi chiều tà", "xế chiều", "cảnh hoàng hôn"),
    "in room": ("trong phòng", "trong phòng", "trong một căn phòng", "ở trong phòng", "trong nhà", "trong căn phòng", "trong phòng khách", "trong phòng ngủ", "ở trong nhà", "bên trong căn phòng", "giữa phòng", "trên sàn nhà", "trong căn buồng", "trong phòng của bé", "trong gian phòng", "ở phòng khách", "bên trong phòng", "trên sàn phòng"),
    "clause room": ("đang ở trong phòng", "cảnh trong phòng", "bối cảnh là căn phòng", "tất cả ở trong phòng", "ở trong nhà", "cảnh là một căn phòng", "đây là trong phòng"),
    "short room": ("trong phòng", "căn phòng", "phòng", "trong nhà", "phòng khách", "phòng ngủ", "nội thất", "gian phòng"),
    # --- lời trước và sau ---
    "said": ("{text}",) * 22 + ("{ask} {text}",) * 12 + ("{text}{end}",) * 5 + ("{ask} {text}{end}",) * 6 + ("{sort} {text}",) * 5 + ("{ask} {sort} {text}", "{ask} {sort} {text}{end}", "{hello} {ask} {text}", "{hello} {text}", "{text}, {junk}", "{junk}, {text}", "{ask} {text}, {junk}", "{text}.", "{text}!", "{sort}: {text}", "{text} - {sort2}", "{text}, {sort2}", "{hello} {ask} {text}{end}", "{ask}: {text}"),
    "ask": (
        "vẽ", "hãy vẽ", "vẽ giúp mình", "vẽ giúp tôi", "vẽ cho mình", "vẽ cho tôi", "vẽ cho em", "làm ơn vẽ", "tôi muốn", "mình muốn", "em muốn", "tôi muốn vẽ", "mình muốn xem", "cho tôi", "cho mình", "cho em", "cho tôi xem", "tạo", "tạo cho tôi", "hãy tạo", "bạn vẽ", "bạn ơi vẽ", "bạn có thể vẽ", "có thể vẽ", "giúp mình vẽ", "nhờ bạn vẽ", "mình cần", "tôi cần", "con muốn",
        "vẽ hộ mình", "vẽ dùm", "vẽ giùm mình", "làm giúp", "cho xin", "xin", "cho bé xem", "bé thích", "hãy cho tôi thấy", "tưởng tượng", "thử vẽ", "vẽ thử", "làm", "trong tranh có", "trong hình có", "bức tranh có", "hình có", "ước gì có", "muốn có", "cần", "hãy làm", "thiết kế", "phác họa", "anh vẽ", "chị vẽ giúp em", "cho con", "mong được thấy", "thêm", "ad vẽ giúp", "mình thích", "tranh phải có",
    ),
    "end": (" nhé", " nha", " đi", " với", " ạ", " nhé bạn", " giúp mình", " giùm em", " được không", " được không?", ", cảm ơn", ", cảm ơn bạn", " nào", " nhá", " cho bé", " cho con gái tôi", " với nhé", " thôi", " cho đẹp", ", thanks", " nghen", " nghe", " hen", " đi bạn", " đi mà", ", xin cảm ơn", ", thế thôi", " với ạ", " cho thiệp", " dùm cái", "...", "?"),
    "hello": ("chào bạn,", "xin chào,", "ê,", "này,", "alo,", "ờ,", "à,", "bạn ơi,", "ad ơi,", "hello,", "hi,", "ok,", "thôi thì", "ừm,", "nào,", "dạ,"),
    "sort": ("bức tranh", "bức tranh vẽ", "tranh vẽ", "hình ảnh", "hình vẽ", "ảnh", "một bức tranh có", "một bức tranh vẽ", "hình", "tấm hình", "bức ảnh", "bức hình", "minh họa", "tranh", "một tấm ảnh", "một bức tranh", "ảnh vẽ", "tấm ảnh chụp", "cảnh", "bức vẽ", "hình minh họa", "tranh đơn giản về"),
    "sort2": ("phong cách đơn giản", "kiểu hoạt hình", "nét đơn giản", "tranh thiếu nhi", "chất lượng cao", "thật đẹp", "dễ thương", "đẹp", "đơn giản", "cho trẻ em", "hd", "4k", "minh họa", "màu sắc tươi sáng", "không có chữ", "rõ nét", "kiểu tranh vẽ", "hoạt hình"),
    "junk": ("{made up}", "{made up} {made up}", "{sort2}", "{sort2}, {sort2}", "như trong mơ", "sao cũng được", "đừng vẽ gì thêm", "thế là đủ", "càng đơn giản càng tốt", "mình nghĩ vậy", "thật yên bình", "nhìn thích ghê", "đẹp quá", "không có người", "chẳng có ai", "chắc vậy", "kiểu vậy đó", "hihi"),
    "made up": tuple(f"<{k}>" for k in range(8)),
}  # fmt: skip


def kind_word(group: Group, rng: random.Random) -> str:
    """A name of the kind, the first one half of the time."""
    ways = KINDS[group.kind]
    return ways[0] if rng.random() < 0.4 else rng.choice(ways)


def tidy(text: str) -> str:
    """Single spaces, none before punctuation."""
    text = re.sub(r"\s+", " ", text)
    return re.sub(r" (?=[,.;:!?)])", "", text).strip(" ,;:-")
