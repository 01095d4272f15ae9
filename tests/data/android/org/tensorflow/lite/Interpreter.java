package org.tensorflow.lite;

import java.nio.ByteBuffer;
import java.util.Map;

/** As much of LiteRT's class as the example in docs/devices.md calls. */
public final class Interpreter implements AutoCloseable {
    /** Of an interpreter. */
    public static class Options {
        public Options setNumThreads(int count) {
            return this;
        }
    }

    public Interpreter(ByteBuffer model, Options options) {}

    public void runSignature(Map<String, Object> inputs, Map<String, Object> outputs) {}

    @Override
    public void close() {}
}
