def captions(names, style, backdrop, rng):
    return {"text": names["en"], "text_vi": names["vi"]}
