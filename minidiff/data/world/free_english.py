"""English as people type it: the rules from which `free_captions` writes."""

from __future__ import annotations

import random
import re

from minidiff.data.world.scenes import Group

# Singular and plural of each kind; the commonest word stands first and is taken half of the time.
KINDS: dict[str, tuple[tuple[str, str], ...]] = {
    "circle": (("circle", "circles"), ("disc", "discs"), ("disk", "disks"), ("round shape", "round shapes"), ("dot", "dots")),
    "square": (("square", "squares"), ("square shape", "square shapes"), ("box shape", "box shapes")),
    "triangle": (("triangle", "triangles"), ("triangle shape", "triangle shapes"), ("three-sided shape", "three-sided shapes")),
    "star": (("star", "stars"), ("five-pointed star", "five-pointed stars"), ("star shape", "star shapes")),
    "heart": (("heart", "hearts"), ("love heart", "love hearts"), ("heart shape", "heart shapes"), ("valentine heart", "valentine hearts")),
    "diamond": (("diamond", "diamonds"), ("rhombus", "rhombuses"), ("diamond shape", "diamond shapes"), ("lozenge", "lozenges")),
    "house": (("house", "houses"), ("cottage", "cottages"), ("home", "homes"), ("hut", "huts"), ("cabin", "cabins"), ("little house", "little houses"), ("bungalow", "bungalows")),
    "tree": (("tree", "trees"), ("oak tree", "oak trees"), ("oak", "oaks"), ("leafy tree", "leafy trees")),
    "car": (("car", "cars"), ("automobile", "automobiles"), ("auto", "autos"), ("vehicle", "vehicles"), ("motor car", "motor cars"), ("sedan", "sedans")),
    "boat": (("boat", "boats"), ("sailboat", "sailboats"), ("sailing boat", "sailing boats"), ("ship", "ships"), ("yacht", "yachts"), ("sail boat", "sail boats"), ("sailing ship", "sailing ships"), ("dinghy", "dinghies")),
    "fish": (("fish", "fish"), ("fish", "fishes"), ("fishy", "fishies"), ("fishie", "fishies")),
    "bird": (("bird", "birds"), ("birdie", "birdies"), ("songbird", "songbirds"), ("birdy", "birdies"), ("sparrow", "sparrows")),
    "cat": (("cat", "cats"), ("kitten", "kittens"), ("kitty", "kitties"), ("pussycat", "pussycats"), ("kitty cat", "kitty cats"), ("tomcat", "tomcats"), ("feline", "felines")),
    "flower": (("flower", "flowers"), ("blossom", "blossoms"), ("bloom", "blooms"), ("daisy", "daisies"), ("tulip", "tulips")),
    "moon": (("moon", "moons"), ("crescent moon", "crescent moons"), ("crescent", "crescents"), ("half moon", "half moons"), ("moon crescent", "moon crescents")),
    "cloud": (("cloud", "clouds"), ("fluffy cloud", "fluffy clouds"), ("puffy cloud", "puffy clouds"), ("rain cloud", "rain clouds")),
    "balloon": (("balloon", "balloons"), ("party balloon", "party balloons"), ("toy balloon", "toy balloons"), ("air balloon", "air balloons"), ("birthday balloon", "birthday balloons")),
    "umbrella": (("umbrella", "umbrellas"), ("parasol", "parasols"), ("brolly", "brollies"), ("sunshade", "sunshades")),
}  # fmt: skip

RULES: dict[str, tuple[str, ...]] = {
    # --- one thing ---
    "number 1": ("a",) * 10 + ("one", "one", "1", "the", "the", "a single", "just one", "a lone", "this", "my", "", "", "", "", "only one", "some"),
    "number 2": ("two",) * 5 + ("2", "2", "2", "a pair of", "a pair of", "a couple of", "a couple of", "two identical", "couple of", "pair of", "2x", "exactly two", "a duo of", "these two", "the two", "twin"),
    "number 3": ("three",) * 5 + ("3", "3", "3", "a trio of", "a group of three", "three identical", "3x", "exactly three", "trio of", "a set of 3", "the three", "all three"),
    "number 4": ("four",) * 5 + ("4", "4", "4", "a group of four", "four identical", "4x", "exactly four", "a set of four", "a quartet of", "the four", "all four", "a bunch of four"),
    "size small": ("small",) * 5 + ("little", "little", "tiny", "tiny", "mini", "teeny", "petite", "miniature", "wee", "teeny tiny", "small-sized", "itty bitty", "very small", "pretty small", "small sized", "pint-sized", "really tiny"),
    "size big": ("big",) * 5 + ("large", "large", "large", "huge", "huge", "giant", "gigantic", "enormous", "massive", "great big", "very big", "oversized", "really large", "big sized", "super big", "pretty big", "humongous"),
    "colour red": ("red",) * 8 + ("crimson", "scarlet", "ruby", "ruby red", "cherry red", "blood red", "bright red", "dark red", "deep red", "reddish"),
    "colour orange": ("orange",) * 12 + ("bright orange", "tangerine", "orangey", "dark orange", "pumpkin orange", "orange-ish"),
    "colour yellow": ("yellow",) * 9 + ("golden", "lemon yellow", "bright yellow", "pale yellow", "gold", "sunny yellow", "light yellow", "yellowish", "lemon"),
    "colour green": ("green",) * 9 + ("emerald", "bright green", "dark green", "light green", "lime green", "emerald green", "grass green", "lime", "greenish", "mint green"),
    "colour blue": ("blue",) * 9 + ("navy", "navy blue", "sky blue", "azure", "light blue", "dark blue", "bright blue", "cobalt", "royal blue", "baby blue", "sapphire", "bluish", "deep blue"),
    "colour purple": ("purple",) * 8 + ("violet", "violet", "lilac", "lavender", "dark purple", "light purple", "bright purple", "plum", "plum-coloured", "purplish"),
    "colour pink": ("pink",) * 9 + ("hot pink", "rosy", "light pink", "bright pink", "rose pink", "baby pink", "pale pink", "pinkish", "magenta"),
    "colour brown": ("brown",) * 9 + ("dark brown", "chocolate", "chocolate brown", "light brown", "chestnut", "coffee brown", "brownish", "hazel"),
    "colour black": ("black",) * 10 + ("jet black", "pitch black", "jet-black", "ebony", "all black", "inky black", "coal black"),
    "colour white": ("white",) * 10 + ("snow white", "snow-white", "pure white", "ivory", "bright white", "all white", "plain white", "milky white"),
    "nice": ("cute", "nice", "lovely", "beautiful", "pretty", "happy", "cool", "simple", "cartoon", "sweet", "funny", "old", "shiny", "adorable", "colorful", "friendly", "stylized", "single-coloured", "flat", "magical"),
    "n": ("{number}",) * 8 + ("{number} {nice}",),
    "tinted": ("{colour}",) * 9 + ("{colour} coloured", "{colour} colored", "{colour}-colored", "{colour}-coloured"),
    "who": ("that {is}", "which {is}", "that's", "and it's", "who {is}", "({is}", "being", "that {is} painted", "in", "painted", "coloured", "colored", "which {is} all", "of colour", "of the color", "with the colour", "in a shade of", "{all}", "in the colour"),
    "thing": ("{n} {kind}",) * 12 + ("{kind}", "{n} {kind} {doing}", "{n} {kind} {doing}"),
    "thing colour": ("{n} {tinted} {kind}",) * 14 + (
        "{tinted} {kind}", "{n} {kind}, {colour}", "{n} {kind} that {is} {colour}", "{n} {kind} which {is} {colour}", "{n} {kind} in {colour}",
        "{n} {kind} ({colour})", "{n} {kind} {colour}", "{n} {kind} coloured {colour}", "{n} {kind} painted {colour}", "{n} {kind} of {colour} colour",
        "{n} {kind}, {all} {colour}", "{kind} {colour}", "{n} {colour} {nice} {kind}", "{n} {nice} {colour} {kind}", "{n} {tinted} {kind} {doing}",
        "{n} {tinted} {kind} {doing}", "{n} {kind} whose colour is {colour}", "{n} {kind}, it {is} {colour}", "{kind}, {colour}", "{n} {kind} all in {colour}", "{colour}, {kind}",
    ),
    "thing size": ("{n} {size} {kind}",) * 10 + (
        "{size} {kind}", "{n} {kind}, {size}", "{n} {kind} that {is} {size}", "{n} {kind} ({size})", "{n} {kind} which {is} {size}", "{n} {size} {nice} {kind}",
        "{n} {nice} {size} {kind}", "{n} {size} {kind} {doing}", "{kind} {size}", "{n} {kind} of {size} size", "{n} {kind}, {size} one", "{n} {size}, {nice} {kind}",
    ),
    "thing size colour": ("{n} {size} {tinted} {kind}",) * 12 + (
        "{size} {tinted} {kind}", "{n} {colour} {size} {kind}", "{n} {kind}, {size} and {colour}", "{n} {kind}, {colour} and {size}", "{n} {kind} that {is} {size} and {colour}",
        "{n} {size} {kind} in {colour}", "{n} {size} {kind} that {is} {colour}", "{n} {colour} {kind}, {size}", "{n} {size}, {colour} {kind}", "{n} {colour} {kind} that {is} {size}",
        "{n} {size} and {colour} {kind}", "{n} {size} {kind} ({colour})", "{n} {size} {tinted} {kind} {doing}", "{kind}, {size}, {colour}", "{kind} {size} {colour}", "{n} {size} {kind} painted {colour}",
        "{n} {nice} {size} {colour} {kind}", "{size} and {colour}: {n} {kind}", "{n} {kind} which {is} {colour} and very {size}", "{n} {kind} of {colour} colour, {size}", "{colour} {kind}, {size} one",
    ),
    "is one": ("is",), "is many": ("are",),
    "all 1": ("all", "completely", "entirely", "totally"), "all 2": ("both", "both of them", "each"), "all 3": ("all", "all of them", "each", "each one"), "all 4": ("all", "all of them", "each", "every one"),
    "doing circle": ("", "floating", "shown", "drawn"), "doing square": ("", "shown", "drawn"), "doing triangle": ("", "shown", "pointing up"), "doing star": ("shining", "twinkling", "glowing", ""),
    "doing heart": ("floating", "beating", ""), "doing diamond": ("sparkling", "", "shown"), "doing house": ("standing", "standing there", "", "built"), "doing tree": ("growing", "standing", "standing tall", "that grows"),
    "doing car": ("parked", "driving", "waiting", "standing"), "doing boat": ("floating", "sailing", "anchored", "drifting"), "doing fish": ("swimming", "swimming around", "diving", "jumping"),
    "doing bird": ("flying", "flying around", "sitting", "resting", "perched", "that flies"), "doing cat": ("sitting", "sleeping", "standing", "lying", "resting", "waiting", "that sits"), "doing flower": ("growing", "blooming", "standing", "in bloom"),
    "doing moon": ("shining", "hanging", "glowing", "rising"), "doing cloud": ("floating", "drifting", "hanging", "passing"), "doing balloon": ("floating", "flying", "hanging", "rising", "drifting"), "doing umbrella": ("standing", "open", "lying", "opened"),
    # --- a single thing and its place ---
    "one": ("{a}",) * 10 + ("there is {a}", "there's {a}", "here is {a}", "{a}, nothing else", "{a} and nothing else", "only {a}", "it's {a}", "you see {a}", "just {a}"),
    "one at": ("{a} {at}",) * 8 + (
        "{at} {a}", "{at} {a}", "{at}, {a}", "{at}, {a}", "{at}: {a}", "{at} there is {a}", "{at} there's {a}", "{at} is {a}", "{a}, {at}", "{a} - {at}", "{a} placed {at}",
        "{a} {is a} {at}", "{a} located {at}", "{a} positioned {at}", "there is {a} {at}", "put {a} {at}", "{a} somewhere {at}", "{a} and it's {at}", "{a}, which {is a} {at}", "{a} sitting {at}",
        "{side}: {a}", "{a} ({side})", "{a}, {side}", "place {a} {at}", "{at} I'd like {a}", "{at} you can see {a}", "{a} {side}",
    ),
    "at left": ("on the left", "on the left", "on the left", "on the left side", "to the left", "at the left", "on the left-hand side", "on the left half", "at left", "over on the left", "on the left of the picture", "in the left part", "on the left side of the image", "off to the left", "by the left edge", "left side", "near the left edge", "at the left edge", "towards the left"),
    "at right": ("on the right", "on the right", "on the right", "on the right side", "to the right", "at the right", "on the right-hand side", "on the right half", "at right", "over on the right", "on the right of the picture", "in the right part", "on the right side of the image", "off to the right", "by the right edge", "right side", "near the right edge", "at the right edge", "towards the right"),
    "at top": ("at the top", "at the top", "at the top", "on top", "up top", "at the very top", "in the upper part", "in the top half", "near the top", "up high", "at the top of the picture", "in the upper half", "high up", "top of the image", "at the top edge", "up at the top", "towards the top"),
    "at bottom": ("at the bottom", "at the bottom", "at the bottom", "at the very bottom", "in the lower part", "in the bottom half", "near the bottom", "down low", "at the bottom of the picture", "in the lower half", "down at the bottom", "bottom of the image", "at the bottom edge", "down below", "towards the bottom"),
    "at middle": ("in the middle", "in the middle", "in the middle", "in the center", "in the centre", "right in the middle", "in the very middle", "at the center", "dead centre", "at the centre", "centered", "in the middle of the picture", "in the center of the image", "smack in the middle", "centred", "in the exact center", "placed centrally"),
    "side left": ("left", "left side", "left-hand side", "the left", "on the left", "on the left", "on the left", "on the left side", "to the left", "at left", "at the left"),
    "side right": ("right", "right side", "right-hand side", "the right", "on the right", "on the right", "on the right", "on the right side", "to the right", "at right", "at the right"),
    "side top": ("top", "the top", "at the top", "at the top", "up top", "on top", "upper part", "up high", "above", "in the upper half"),
    "side bottom": ("bottom", "the bottom", "at the bottom", "at the bottom", "down below", "lower part", "below", "down low", "in the lower half"),
    "side middle": ("middle", "center", "centre", "in the middle", "the middle", "centered"),
    # --- two things ---
    "and": ("and",) * 8 + ("&", "+", ",", "plus", "with"),
    "beside": ("and",) * 8 + ("with", "with", "next to", "next to", "beside", "near", "close to", "along with", "together with", "as well as", "plus", "&", "+", ",", ",", "alongside", "accompanied by", "and also", "and next to it", "by the side of", "not far from", "right next to", "and beside it", "and near it", "and then", "together with its friend,", "in the company of"),
    "two": ("{a} {beside} {b}",) * 12 + (
        "{b} {beside} {a}", "{b} {beside} {a}", "{b} {beside} {a}", "both {a} and {b}", "there is {a} {beside} {b}", "{a} and {b} together", "{a} and {b} side by side", "{a} and {b} next to each other", "{a}. {b}", "{a}, {b}",
        "{b}, {a}", "{a}; also {b}", "{a} and {b}, close together", "there's {a}, and there's {b}", "{a}, also {b}", "I see {a} and {b}", "{a}, and {b} too", "{a} keeps {b} company", "{a} meets {b}", "next to {b} there is {a}", "near {a}, {b}", "{a} and {b} in one picture", "not only {a} but also {b}", "two things: {a} and {b}", "{a} / {b}",
    ),
    "v": ("",) * 10 + ("{is a}", "{is a}", "sitting", "standing", "placed", "located", "positioned", "that {is a}", "which {is a}", "{is a} sitting", "{is a} standing", "somewhere", "directly", "just", "right", "{is a} placed", "resting", "lying", "sits", "stands", "{is a} located", "appears", "shown", "seen", "put"),
    "w": ("",) * 10 + ("{is b}", "{is b}", "sitting", "standing", "placed", "located", "positioned", "that {is b}", "which {is b}", "{is b} sitting", "{is b} standing", "just", "{is b} placed", "resting", "lying", "sits", "stands", "shown"),
    "of left": ("left of", "left of", "to the left of", "to the left of", "to the left of", "on the left of", "on the left side of", "at the left of", "to the left side of", "on the left-hand side of", "left from", "at the left side of", "off to the left of", "in the left of"),
    "of right": ("right of", "right of", "to the right of", "to the right of", "to the right of", "on the right of", "on the right side of", "at the right of", "to the right side of", "on the right-hand side of", "right from", "at the right side of", "off to the right of", "in the right of"),
    "of above": ("above", "above", "above", "over", "over", "on top of", "on top of", "atop", "higher than", "on", "up above", "high above", "up over", "hovering over", "hovering above", "floating above", "floating over", "flying over", "flying above", "sitting on", "hanging over", "sitting on top of", "resting on", "standing on", "perched on", "hanging above"),
    "of below": ("below", "below", "below", "under", "under", "under", "beneath", "underneath", "lower than", "down below", "right under", "hiding under", "sheltering under", "sitting under", "placed under", "standing under", "at the foot of", "underneath of"),
    "there left": ("on its left", "to its left", "on the left of it", "to the left", "on the left side", "on the left", "to the left of it"), "there right": ("on its right", "to its right", "on the right of it", "to the right", "on the right side", "on the right", "to the right of it"),
    "there above": ("above it", "over it", "above", "on top of it", "on top", "overhead", "up above it", "right above it"), "there below": ("below it", "under it", "below", "underneath", "beneath it", "underneath it", "right under it", "at its foot"),
    "short left": ("left",), "short right": ("right",), "short top": ("top", "up", "above", "upper"), "short bottom": ("bottom", "down", "below", "lower"),
    "two related": ("{a} {v} {of} {b}",) * 22 + ("{b} {w} {fo} {a}",) * 8 + (
        "{b} with {a} {there}", "{b} with {a} {there}", "{b} and {a} {there}", "{b}, {there} {a}", "{b}, and {there} {a}", "{b}. {there} {a}", "{b} has {a} {there}", "{there} of {b}, {a}",
        "{of} {b} {a}", "{of} {b}, {a}", "{of} {b} there is {a}", "{of} {b} is {a}", "{of} {b}: {a}", "{of} {b} you see {a}", "{fo} {a} there is {b}", "{fo} {a}, {b}", "{fo} {a} is {b}", "{fo} {a} {b}",
        "{side a} {a}, {side b} {b}", "{side a} {a}, {side b} {b}", "{side b} {b}, {side a} {a}", "{side a} {a} and {side b} {b}", "{side b} {b} and {side a} {a}", "{side a}: {a}, {side b}: {b}", "{side b}: {b}; {side a}: {a}", "{side a} there is {a} and {side b} there is {b}", "{side a} is {a} and {side b} is {b}", "{side b} is {b}, {side a} is {a}", "{side a} we have {a}, {side b} {b}", "{side a} = {a}, {side b} = {b}",
        "{a} {side a}, {b} {side b}", "{a} {side a} and {b} {side b}", "{b} {side b}, {a} {side a}", "{b} {side b} and {a} {side a}", "{a} ({side a}), {b} ({side b})", "{a} {is a} {side a} and {b} {is b} {side b}", "{b} {is b} {side b}, {a} {is a} {side a}", "{a} {side a} while {b} {is b} {side b}", "{a} {side a} with {b} {side b}",
        "{short a} {a} {short b} {b}", "{short a}: {a} / {short b}: {b}", "{a} and {b}, the first {of} the second", "{a} goes {of} {b}", "{a} must be {of} {b}", "put {a} {of} {b}", "place {a} {of} {b}", "{a}, {of} {b}", "{a}; it's {of} {b}", "there is {a} {of} {b}", "there's {a} {of} {b}", "{a} - {of} {b}", "{b}, {a} {of} it", "{b} and {of} it {a}", "{b} with {a} {of} it", "{b}. {of} it there is {a}", "{b}, {of} that {a}",
    ),
    # --- three things ---
    "three": ("{a}, {b} and {c}",) * 6 + (
        "{b}, {c} and {a}", "{c}, {a} and {b}", "{a} and {b} and {c}", "{a}, {b}, {c}", "{c}, {b}, {a}", "{a} with {b} and {c}", "{a} + {b} + {c}", "{a}, {b}, and also {c}", "{a}, {b} plus {c}", "there are {a}, {b} and {c}",
        "three things: {a}, {b} and {c}", "{a} and {b}, together with {c}", "{a} next to {b} and {c}", "{a}; {b}; {c}", "{a}. {b}. {c}", "{a} near {b}, also {c}", "{a} together with {b} and {c}", "{b} {beside} {c} {beside} {a}", "{a}, then {b}, then {c}", "{a} accompanied by {b} and {c}", "{a} & {b} & {c}", "there's {a}, {b} and there's {c}",
    ),
    "pair": ("{b} and {c}", "{b} and {c}", "{b} and {c}", "{c} and {b}", "{b} & {c}"),
    "amid": ("between", "between", "between", "in between", "in the middle of", "in the middle between", "right between", "sandwiched between", "in the space between", "halfway between", "stuck between"),
    "between": ("{a} {v} {amid} {pair}",) * 14 + (
        "between {pair} {a}", "between {pair}, {a}", "between {pair} there is {a}", "between {pair} is {a}", "between {pair} sits {a}", "in between {pair} stands {a}", "{b} and {c} with {a} between them", "{b} and {c}, with {a} in the middle", "{pair} with {a} in between", "{pair}, {a} between them", "{pair}, and {a} in the middle",
        "{a} in the middle, {b} on one side and {c} on the other", "{a} in the center, {b} and {c} on either side", "{a} with {b} on one side and {c} on the other side", "{a} flanked by {pair}", "{a} surrounded by {pair}", "{b} on one side, {c} on the other, {a} in the middle", "middle: {a}, sides: {b}, {c}", "{pair} on both sides of {a}", "{b}, {c}, and in the middle {a}", "{b} on the left, {c} on the right, {a} in the middle", "{a} has {b} on one side and {c} on the other", "{b} and {c} on either side of {a}", "{a} in the middle of {pair}", "{b} then {a} then {c} in a row", "in the middle {a}, around it {pair}",
    ),
    # --- colours told later ---
    "later": ("the {kind} is {colour}", "the {kind} is {colour}", "{kind} is {colour}", "the {kind} {colour}", "make the {kind} {colour}", "{kind} {colour}", "the {kind} should be {colour}", "{kind}: {colour}"),
    "later sep": (". ", ", ", "; ", " - ", ", where ", ". "), "later join": (", ", " and ", ", and ", "; "),
    # --- settings ---
    "with setting": ("{body} {in}",) * 10 + (
        "{body}, {in}", "{body}, {in}", "{body}, {in}", "{in}, {body}", "{in}, {body}", "{in} {body}", "{in}: {body}", "{in} there is {body}", "{body}. {clause}", "{body}. {clause}", "{clause}. {body}", "{body}, {clause}", "{clause}, {body}", "{clause} and there is {body}", "{body} while {clause}", "{body} and {clause}",
        "{body} - {short}", "{short}, {body}", "{body}, {short}", "{body}, {short}", "{short} scene with {body}", "{short} scene, {body}", "{body}, {short} background", "{body}, background: {short}", "{body} ({short})", "{short}: {body}", "scene: {short}. {body}", "{body}; {in}", "{short}. {body}", "{body} / {short}", "{body}. {in}", "{body}, make it {short}", "{body} + {short}",
    ),
    "in plain": ("on a plain background", "on a plain background", "on a simple background", "on a blank background", "on an empty background", "against a plain background", "with a plain background", "with nothing behind", "with no background", "on a clean background", "with an empty background", "against a simple backdrop", "on a plain backdrop", "without any background", "in front of a plain wall", "with nothing else around"),
    "clause plain": ("no background", "the background is plain", "the background is empty", "nothing in the background", "keep the background simple", "the background should be blank", "leave the background empty", "nothing behind it"),
    "short plain": ("plain background", "plain", "simple background", "no background", "blank background", "empty background", "clean background", "no scenery"),
    "in day": ("in the daytime", "by day", "during the day", "in the day sky", "on a sunny day", "in broad daylight", "in the daylight", "under a blue sky", "in sunny weather", "at noon", "in the sunshine", "on a bright day", "on a clear day", "under a sunny sky", "at midday", "in the bright sky", "under the daytime sky", "in daylight", "in the middle of the day", "in the afternoon"),
    "clause day": ("it's daytime", "it is daytime", "it's sunny", "the sky is blue", "the sun is out", "it's a sunny day", "it is a bright day", "the weather is sunny", "it is day", "it's a clear day", "it's noon"),
    "short day": ("daytime", "day", "sunny day", "daylight", "day sky", "blue sky", "sunny", "midday", "bright day"),
    "in night": ("at night", "at night", "at night", "in the night", "by night", "during the night", "at night time", "at nighttime", "under a starry sky", "under the night sky", "in the dark", "in the night sky", "after dark", "late at night", "at midnight", "in the middle of the night", "against the night sky", "in the dark night", "on a dark night", "under a starry night sky", "in the darkness"),
    "clause night": ("it's night", "it is night", "it is dark", "it's dark outside", "the sky is dark", "the sky is full of stars", "night has fallen", "it's midnight", "it is nighttime", "it's late at night", "the night is starry"),
    "short night": ("night", "nighttime", "night time", "night sky", "midnight", "dark night", "starry night", "dark", "night view"),
    "in sea": ("at sea", "at sea", "on the sea", "by the sea", "in the sea", "on the ocean", "in the ocean", "on the water", "out at sea", "out on the ocean", "over the sea", "on the open sea", "at the seaside", "on the waves", "by the ocean", "near the sea", "in the water", "among the waves", "on the blue sea", "with the sea behind", "with the ocean in the background", "upon the waves"),
    "clause sea": ("it's at sea", "the sea is all around", "there is water all around", "the ocean is in the background", "we are at sea", "the background is the sea", "the sea is behind", "waves below", "the scene is the ocean"),
    "short sea": ("sea", "ocean", "seaside", "the sea", "open sea", "water", "ocean view", "sea view", "waves"),
    "in meadow": ("in a meadow", "on a meadow", "on the grass", "in the grass", "in a field", "on the lawn", "in a green field", "on a green meadow", "in the meadow", "on a lawn", "in a grassy field", "on green grass", "in the countryside", "on the pasture", "in a grassland", "across a meadow", "out in the field", "in the fields", "on a grassy field"),
    "clause meadow": ("there is grass everywhere", "it's a meadow", "the ground is grass", "the grass is green", "there is grass all around", "the scene is a meadow", "it is in a field", "green grass below"),
    "short meadow": ("meadow", "grass", "field", "lawn", "grassland", "green field", "grassy field", "green grass", "countryside"),
    "in sunset": ("at sunset", "at sunset", "at sunset", "at sunset over the mountains", "in the sunset", "at dusk", "in the evening", "during sunset", "in the evening light", "as the sun goes down", "as the sun sets", "in the glow of sunset", "under a sunset sky", "when the sun is setting", "while the sun sets behind the mountains", "with mountains at sunset", "in the mountains at sunset", "at twilight", "in the evening sky", "under an orange evening sky", "by sunset", "against the sunset", "at the end of the day"),
    "clause sunset": ("the sun is setting", "the sun is going down", "it's sunset", "it is evening", "the sun sets behind mountains", "it's dusk", "the sky glows at sunset", "it is sunset", "evening falls", "sun setting"),
    "short sunset": ("sunset", "dusk", "evening", "sundown", "sunset sky", "evening sky", "sunset mountains", "twilight", "mountain sunset"),
    "in room": ("in a room", "in a room", "inside a room", "indoors", "inside", "in the room", "inside the house", "in the living room", "in a living room", "at home", "in a bedroom", "in my room", "in the bedroom", "inside a bedroom", "on the floor of a room", "within a room", "in an indoor room", "in an empty room", "inside the room", "on the living room floor", "in the house"),
    "clause room": ("it's indoors", "it is inside a room", "it's in a room", "the scene is a room", "we're indoors", "everything is inside a room", "it takes place in a room", "it's inside"),
    "short room": ("room", "indoors", "living room", "inside", "interior", "bedroom", "indoor", "indoor scene"),
    # --- what people say before and after ---
    "said": ("{text}",) * 22 + ("{ask} {text}",) * 12 + ("{text}{end}",) * 5 + ("{ask} {text}{end}",) * 4 + ("{sort} {text}",) * 5 + ("{ask} {sort} {text}", "{hello} {ask} {text}", "{hello} {text}", "{text}, {junk}", "{junk}, {text}", "{ask} {text}, {junk}", "{text}.", "{text}!", "{sort}: {text}", "{text} - {sort2}", "{text}, {sort2}", "{hello} {ask} {text}{end}", "{ask}: {text}"),
    "ask": (
        "draw", "please draw", "draw me", "can you draw", "could you draw me", "could you please draw", "make", "create", "generate", "show me", "show", "i want", "i want to see", "i would like", "i'd like", "i'd love to see", "give me", "paint", "please paint", "i need", "let's have", "let me see", "make me", "would you draw", "imagine", "can i have", "can i get", "may i have", "please make", "picture", "render", "we need", "how about", "what about", "try", "sketch", "my kid wants", "my son wants", "my daughter asked for", "for my class:", "i'm looking for", "can you show me", "would you mind drawing", "could i have", "pls draw", "please create", "design", "what i want is", "i was hoping for", "it should show", "the picture should show", "i dream of", "there should be", "i'd be happy with", "do", "add", "produce", "please generate", "could we get", "help me draw", "i wish for",
    ),
    "end": (" please", ", please", " please!", ", thanks", ", thank you", " thanks", " pls", " for me", " for me please", ", ok?", "?", " for my daughter", " for a card", ", that's all", ", if you can", " thank you very much", ", would be great", " if possible", " for my kids", ", nothing more", " for a poster", " now", " for once", ", thx", "...", " for a friend", ", that would be lovely", " and that's it"),
    "hello": ("hi,", "hello,", "hey,", "ok,", "ok so", "so", "well,", "hmm,", "hi there,", "dear computer,", "hey there,", "good morning,", "um,", "okay:", "yo,", "right,"),
    "sort": ("a picture of", "a drawing of", "an image of", "picture of", "drawing of", "image of", "an illustration of", "illustration of", "a painting of", "a cartoon of", "cartoon of", "a sketch of", "a photo of", "photo of", "a scene with", "a view of", "a simple drawing of", "a cute picture of", "clipart of", "an icon of", "a nice picture with", "a poster with", "a card with", "a postcard of", "pic of", "a pic with", "scene:"),
    "sort2": ("simple style", "cartoon style", "flat style", "minimalist", "high quality", "children's book style", "clean design", "cute style", "vector art", "hd", "4k", "digital art", "illustration", "beautiful", "simple", "flat design", "for kids", "detailed", "no text", "nicely drawn", "clip art", "centered composition", "8k"),
    "junk": ("{made up}", "{made up} {made up}", "{sort2}", "{sort2}, {sort2}", "like in a dream", "as you like", "don't overdo it", "you know what i mean", "surprise me", "that's the idea", "as simple as possible", "i think", "maybe", "quite charming", "very peaceful", "such a calm day", "what a view", "no people", "nobody around"),
    "made up": tuple(f"<{k}>" for k in range(8)),
}  # fmt: skip

VOWEL = re.compile(r"\ba(?= [aeio]| u[^n ])")


def kind_word(group: Group, rng: random.Random) -> str:
    """A name of the kind, the first half of the time; in the singular for one, and now and then for several ("2 cat")."""
    ways = KINDS[group.kind]
    singular, plural = ways[0] if rng.random() < 0.55 else rng.choice(ways)
    return singular if group.count == 1 or rng.random() < 0.04 else plural


def tidy(text: str) -> str:
    """Single spaces, none before punctuation, "an" before vowels."""
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r" (?=[,.;:!?)])", "", text).strip(" ,;:-")
    return VOWEL.sub("an", text)
