//! The programs' stacks, measured in the objects.
//!
//! Until Linux 6.13 the verifier gives all functions that are called one in another 512 bytes together, each rounded up to 32 (`check_max_stack_depth` in
//! kernel/bpf/verifier.c). A newer kernel takes more, so that loading the programs here proves nothing about an older one.

use super::{DROP_OBJECT, FLOW_OBJECT};
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionIndex, SymbolKind, SymbolSection};
use std::collections::HashMap;

const MOST_BYTES: u64 = 512;
const MOST_FRAMES: usize = 8;
/// The frame pointer's number.
const R10: u8 = 10;

/// Where a function begins.
type Place = (SectionIndex, u64);

/// What a function takes by itself, and which it calls, callbacks included.
#[derive(Debug)]
struct Function {
    name: String,
    bytes: u64,
    calls: Vec<Place>,
}

/// A kernel instruction: what it does, its registers, offset and constant (linux/bpf.h, `struct bpf_insn`).
fn instruction(bytes: &[u8]) -> (u8, u8, u8, i64, i64) {
    let offset = i16::from_le_bytes([bytes[2], bytes[3]]);
    let constant = i32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    (bytes[0], bytes[1] & 15, bytes[1] >> 4, offset.into(), constant.into())
}

fn functions(object: &[u8]) -> HashMap<Place, Function> {
    let file = object::File::parse(object).unwrap();
    let mut functions = HashMap::new();
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
        let SymbolSection::Section(index) = symbol.section() else { continue };
        let section = file.section_by_index(index).unwrap();
        let (from, to) = (symbol.address() as usize, (symbol.address() + symbol.size()) as usize);
        let code = &section.data().unwrap()[from..to];
        let relocated: HashMap<u64, _> = section.relocations().collect();
        let (mut lowest, mut calls, mut copies) = (0, Vec::new(), Vec::new());
        for (number, bytes) in code.chunks_exact(8).enumerate() {
            let (what, to_register, from_register, offset, constant) = instruction(bytes);
            let at = (from + 8 * number) as u64;
            // Of a relocation to a section, the constant says which function of it: a call's in instructions, less one; an address' in bytes.
            let named = relocated.get(&at).and_then(|relocation| match relocation.target() {
                RelocationTarget::Symbol(target) => file.symbol_by_index(target).ok(),
                _ => None,
            });
            let called = named.filter(|symbol| matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Section)).and_then(|symbol| {
                let distance = if what == 0x85 { 8 * (constant + 1) } else { constant };
                symbol.section_index().map(|index| (index, symbol.address().wrapping_add_signed(distance)))
            });
            match what {
                // A call of a function of our own; a load of a function's address, for a helper that calls it back.
                0x85 if from_register == 1 => calls.push(called.unwrap_or((index, at.wrapping_add_signed(8 * (constant + 1))))),
                0x18 if called.is_some_and(|(section, _)| file.section_by_index(section).unwrap().kind() == object::SectionKind::Text) => {
                    calls.extend(called)
                }
                // A load, a store.
                _ if what & 7 == 1 && from_register == R10 => lowest = lowest.min(offset),
                _ if matches!(what & 7, 2 | 3) && to_register == R10 => lowest = lowest.min(offset),
                // The frame pointer is copied, and the copy moved down.
                0xbf if from_register == R10 => copies.push(to_register),
                0x07 if copies.contains(&to_register) => {
                    lowest = lowest.min(constant);
                    copies.retain(|register| *register != to_register);
                }
                _ => {}
            }
        }
        let (name, bytes) = (symbol.name().unwrap().to_owned(), lowest.unsigned_abs().max(1).next_multiple_of(32));
        functions.insert((index, symbol.address()), Function { name, bytes, calls });
    }
    functions
}

/// The deepest way down from a function: its bytes and the names on it.
fn deepest(functions: &HashMap<Place, Function>, place: Place) -> (u64, Vec<&str>) {
    let function = &functions[&place];
    let (bytes, mut names) = function.calls.iter().map(|call| deepest(functions, *call)).max().unwrap_or_default();
    names.insert(0, &function.name);
    (bytes + function.bytes, names)
}

#[test]
fn no_way_down_takes_more_stack_or_frames_than_the_oldest_kernels_give() {
    for (object, entries) in
        [(FLOW_OBJECT, &["flowlog_ingress", "flowlog_egress", "flowlog_sweep"][..]), (DROP_OBJECT, &["flowlog_drop", "flowlog_drop_sweep"])]
    {
        let functions = functions(object);
        for entry in entries {
            let (place, _) = functions.iter().find(|(_, function)| function.name == *entry).unwrap_or_else(|| panic!("no {entry}"));
            let (bytes, names) = deepest(&functions, *place);
            println!("{bytes} bytes: {}", names.join(" > "));
            assert!(names.len() > 1, "{entry} calls nothing: the object is not read as it should be");
            assert!(bytes <= MOST_BYTES, "{entry} takes {bytes} bytes of stack: {names:?}");
            assert!(names.len() <= MOST_FRAMES, "{entry} goes down too far: {names:?}");
        }
    }
}
