// SPDX-License-Identifier: MIT OR Apache-2.0

//! Marks in the stream of instructions, for a plugin of the emulator to see.
//!
//! A mark is a long no-operation whose displacement no compiler would choose. It costs one
//! instruction, needs no address, and does nothing on any machine.

/// Bytes of a mark: opcode and displacement.
pub const LEN: usize = 7;
/// The bytes in front of the displacement.
pub const OPCODE: [u8; 3] = [0x0f, 0x1f, 0x80];
/// The upper 24 bits of the displacement of all marks.
const FAMILY: u32 = 0x5253_4c00;

/// Where a mark stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A window opens.
    Begin,
    /// The window closes.
    End,
    /// All windows before belong to one group, those to come to the next.
    Next,
}

impl Mark {
    const ALL: [Self; 3] = [Self::Begin, Self::End, Self::Next];

    /// The displacement that makes an instruction this mark.
    pub const fn displacement(self) -> u32 {
        FAMILY | self as u32
    }

    /// The mark that an instruction is, if it is one.
    pub fn decode(instruction: &[u8]) -> Option<Self> {
        let displacement = instruction.strip_prefix(&OPCODE)?.try_into().ok()?;
        let displacement = u32::from_le_bytes(displacement);
        Self::ALL
            .into_iter()
            .find(|mark| mark.displacement() == displacement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_told_from_other_instructions() {
        for mark in Mark::ALL {
            let mut bytes = OPCODE.to_vec();
            bytes.extend(mark.displacement().to_le_bytes());
            assert_eq!(bytes.len(), LEN);
            assert_eq!(Mark::decode(&bytes), Some(mark));
            assert_eq!(Mark::decode(&bytes[..6]), None);
            for other in [0, 2, 4] {
                bytes[other] ^= 1;
                assert_eq!(Mark::decode(&bytes), None);
                bytes[other] ^= 1;
            }
        }
        assert_eq!(Mark::decode(&[0x0f, 0x1f, 0x80, 0, 0, 0, 0]), None);
    }
}
