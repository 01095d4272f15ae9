package android.content.res;

import java.io.IOException;

/** As much of Android's class as the example in docs/devices.md calls. */
public final class AssetManager {
    public AssetFileDescriptor openFd(String fileName) throws IOException {
        return null;
    }
}
