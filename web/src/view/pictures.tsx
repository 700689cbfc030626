// Pictures of a message.
import { imageSource } from "../model/content.ts";
import type { ImagePart } from "../protocol.ts";

export function Pictures({ images }: { images: readonly ImagePart[] }) {
  if (images.length === 0) return null;
  return (
    <div class="pictures">
      {images.map((image, index) => {
        const source = imageSource(image);
        // A picture that lives elsewhere is named, not loaded.
        return source === null ? (
          <span key={index} class="picture-elsewhere">
            {image.url ?? "Picture"}
          </span>
        ) : (
          <img key={index} src={source} alt={`Attached image ${index + 1}`} />
        );
      })}
    </div>
  );
}
