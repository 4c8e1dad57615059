/// SipHash-2-4 with 64 and 128 bits of output.
///
/// Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012, and its 128-bit variant. The digests use it
/// because it is fast on short inputs, has a specification, and is available in every language. The key is a constant:
/// the hash guards against accidents, not against a member that forges rows.
enum SipHash {
    /// The fixed key's first half, "clinicsy" in ASCII, little endian.
    static let key0: UInt64 = 0x7973_6369_6e69_6c63
    /// The fixed key's second half, "nc-v1---" in ASCII, little endian.
    static let key1: UInt64 = 0x2d2d_2d31_762d_636e

    /// Returns the 64-bit hash of `bytes`; `tweak` is mixed into the key and separates domains.
    @inline(__always)
    static func hash64(_ bytes: UnsafeRawBufferPointer, tweak: UInt64 = 0) -> UInt64 {
        self.hash64(bytes, key0: self.key0 ^ tweak, key1: self.key1)
    }

    /// Returns the 64-bit hash of `bytes` under a key.
    @inline(__always)
    static func hash64(_ bytes: UnsafeRawBufferPointer, key0: UInt64, key1: UInt64) -> UInt64 {
        var state = State(key0: key0, key1: key1)
        state.absorb(bytes)
        state.v2 ^= 0xff
        state.rounds4()
        return state.folded
    }

    /// Returns the 64-bit hash of one number of eight bytes, little endian.
    static func hash64(_ number: UInt64, tweak: UInt64) -> UInt64 {
        withUnsafeBytes(of: number.littleEndian) { self.hash64($0, tweak: tweak) }
    }

    /// Returns the 128-bit hash of `bytes`: the first eight output bytes are the lower half.
    static func hash128(_ bytes: UnsafeRawBufferPointer) -> (low: UInt64, high: UInt64) {
        self.hash128(bytes, key0: self.key0, key1: self.key1)
    }

    /// Returns the 128-bit hash of `bytes` under a key.
    static func hash128(_ bytes: UnsafeRawBufferPointer, key0: UInt64, key1: UInt64) -> (low: UInt64, high: UInt64) {
        var state = State(key0: key0, key1: key1)
        state.v1 ^= 0xee
        state.absorb(bytes)
        state.v2 ^= 0xee
        state.rounds4()
        let low = state.folded
        state.v1 ^= 0xdd
        state.rounds4()
        return (low, state.folded)
    }

    private struct State {
        var v0: UInt64
        var v1: UInt64
        var v2: UInt64
        var v3: UInt64

        init(key0: UInt64, key1: UInt64) {
            self.v0 = key0 ^ 0x736f_6d65_7073_6575
            self.v1 = key1 ^ 0x646f_7261_6e64_6f6d
            self.v2 = key0 ^ 0x6c79_6765_6e65_7261
            self.v3 = key1 ^ 0x7465_6462_7974_6573
        }

        var folded: UInt64 { self.v0 ^ self.v1 ^ self.v2 ^ self.v3 }

        @inline(__always)
        mutating func absorb(_ bytes: UnsafeRawBufferPointer) {
            let whole = bytes.count & ~7
            var offset = 0
            while offset < whole {
                self.absorb(word: UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
                offset += 8
            }
            var last = UInt64(truncatingIfNeeded: bytes.count) << 56
            var shift: UInt64 = 0
            while offset < bytes.count {
                last |= UInt64(bytes[offset]) << shift
                shift += 8
                offset += 1
            }
            self.absorb(word: last)
        }

        @inline(__always)
        mutating func absorb(word: UInt64) {
            self.v3 ^= word
            self.round()
            self.round()
            self.v0 ^= word
        }

        @inline(__always)
        mutating func rounds4() {
            self.round()
            self.round()
            self.round()
            self.round()
        }

        @inline(__always)
        mutating func round() {
            self.v0 = self.v0 &+ self.v1
            self.v1 = (self.v1 << 13 | self.v1 >> 51) ^ self.v0
            self.v0 = self.v0 << 32 | self.v0 >> 32
            self.v2 = self.v2 &+ self.v3
            self.v3 = (self.v3 << 16 | self.v3 >> 48) ^ self.v2
            self.v0 = self.v0 &+ self.v3
            self.v3 = (self.v3 << 21 | self.v3 >> 43) ^ self.v0
            self.v2 = self.v2 &+ self.v1
            self.v1 = (self.v1 << 17 | self.v1 >> 47) ^ self.v2
            self.v2 = self.v2 << 32 | self.v2 >> 32
        }
    }
}
