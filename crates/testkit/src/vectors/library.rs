//! What records refer to: captures, packets by name, programs by name, filters by id.
//!
//! It is looked for beside the given files, in the folders next to theirs, under `SANDBPF_CORPUS`, and
//! among the given files themselves; and read when the first record asks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use sandbpf::object::{Btf, Object, Options as ObjectOptions};
use sandbpf_capture::Capture;
use sandbpf_classic::ClassicInsn;
use serde_json::Value;

use super::VectorsError;
use super::kind::Kind;
use super::record::{self, Malformed, Record};

/// Companion data, found on demand.
#[derive(Debug)]
pub(crate) struct Library {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
    filters: OnceLock<HashMap<String, Value>>,
    packets: OnceLock<BTreeMap<String, Vec<u8>>>,
    programs: OnceLock<BTreeMap<String, Vec<ClassicInsn>>>,
    objects: Mutex<HashMap<String, Option<Arc<Object>>>>,
    kernel: OnceLock<Option<Arc<Btf>>>,
    recorded: Mutex<HashMap<String, Arc<HashMap<String, Value>>>>,
    tail_calls: OnceLock<BTreeMap<u64, Record>>,
    captures: Mutex<HashMap<String, Option<Arc<Packets>>>>,
}

/// The packets of a capture.
#[derive(Debug)]
pub(crate) struct Packets(Vec<(Box<[u8]>, u32)>);

impl Packets {
    fn read(bytes: &[u8]) -> Option<Packets> {
        let mut capture = Capture::from_slice(bytes).ok()?;
        let mut packets = Vec::new();
        // What stands before a damage counts.
        while let Ok(Some(packet)) = capture.next_packet() {
            packets.push((packet.data.into(), packet.wire_len));
        }
        Some(Packets(packets))
    }

    /// The bytes of each of the first `count` packets, and its length on the wire; `None` if there are
    /// fewer. There may be more: libpcap gives up in some captures earlier than we.
    pub(crate) fn first(&self, count: usize) -> Option<impl ExactSizeIterator<Item = (&[u8], u32)>> {
        Some(self.0.get(..count)?.iter().map(|(bytes, wire_len)| (&**bytes, *wire_len)))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn get(&self, index: usize) -> Option<(&[u8], u32)> {
        self.0.get(index).map(|(bytes, wire_len)| (&**bytes, *wire_len))
    }
}

impl Library {
    pub(crate) fn new(files: &[PathBuf]) -> Self {
        let folders = files.iter().filter_map(|file| file.parent()).flat_map(|folder| {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            [folder.to_owned(), folder.join("../cbpf"), folder.join("../kernel"), folder.join("../objects")]
        });
        let corpus = std::env::var_os("SANDBPF_CORPUS").map(PathBuf::from);
        let corpus = corpus
            .iter()
            .flat_map(|corpus| [corpus.join("cbpf"), corpus.join("kernel"), corpus.join("objects")]);
        let mut seen = BTreeSet::new();
        let folders = folders.chain(corpus).filter(|folder| seen.insert(folder.clone())).collect();
        Library {
            files: files.to_vec(),
            folders,
            filters: OnceLock::new(),
            packets: OnceLock::new(),
            programs: OnceLock::new(),
            objects: Mutex::default(),
            kernel: OnceLock::new(),
            recorded: Mutex::default(),
            tail_calls: OnceLock::new(),
            captures: Mutex::default(),
        }
    }

    /// The records of a file; `None` if it is a companion of others.
    pub(crate) fn records(&self, path: &Path) -> Result<Option<Vec<Record>>, VectorsError> {
        let read = |error| VectorsError::Read { path: path.to_owned(), error };
        let text = fs::read_to_string(path).map_err(read)?;
        if is_companion(path) {
            return Ok(None);
        }
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let record = |(at, line): (usize, &str)| match serde_json::from_str(line) {
            Ok(value) => Ok(Record::new(value)),
            Err(error) => Err(VectorsError::Json { path: path.to_owned(), line: at + 1, error }),
        };
        lines.map(record).collect::<Result<_, _>>().map(Some)
    }

    /// The filter record with this id.
    pub(crate) fn filter(&self, id: &str) -> Result<&Value, Malformed> {
        let filters = self.filters.get_or_init(|| {
            let beside = self.named(|name| name.starts_with("filters") && name.ends_with(".ndjson"));
            let files: BTreeSet<PathBuf> = beside.chain(self.files.iter().cloned()).collect();
            let mut filters = HashMap::new();
            for path in files {
                let Ok(text) = fs::read_to_string(&path) else { continue };
                for value in text.lines().map_while(|line| serde_json::from_str::<Value>(line).ok()) {
                    // A file holds records of one kind.
                    if Kind::of(&value) != Kind::Filter {
                        break;
                    }
                    if let Some(id) = value["id"].as_str() {
                        filters.insert(id.to_owned(), value);
                    }
                }
            }
            filters
        });
        filters.get(id).ok_or(Malformed::Companion("filter"))
    }

    /// The packets that records know by name.
    pub(crate) fn packets(&self) -> Result<&BTreeMap<String, Vec<u8>>, Malformed> {
        let packets = self.packets.get_or_init(|| self.companions("packets", record::bytes));
        if packets.is_empty() { Err(Malformed::Companion("list of packets")) } else { Ok(packets) }
    }

    /// The classic programs that records know by name.
    pub(crate) fn program(&self, name: &str) -> Result<&[ClassicInsn], Malformed> {
        let programs = self.programs.get_or_init(|| self.companions("programs", record::classic));
        let program = programs.get(name).map(Vec::as_slice);
        program.ok_or(Malformed::Companion("program"))
    }

    /// The programs of `test_bpf` that call each other, by their place in its table.
    pub(crate) fn tail_calls(&self) -> &BTreeMap<u64, Record> {
        self.tail_calls.get_or_init(|| {
            let beside = self.named(|name| name.starts_with("test_bpf") && name.ends_with(".ndjson"));
            let files: BTreeSet<PathBuf> = beside.chain(self.files.iter().cloned()).collect();
            let texts = files.iter().filter_map(|path| fs::read_to_string(path).ok());
            let mut table = BTreeMap::new();
            for text in texts {
                let values = text.lines().map_while(|line| serde_json::from_str::<Value>(line).ok());
                for value in values.filter(|value| Kind::of(value) == Kind::TestBpfTailCall) {
                    table.extend(value["index"].as_u64().map(|index| (index, Record::new(value))));
                }
            }
            table
        })
    }

    /// The bytes of an object file, by its place among the objects.
    pub(crate) fn object_file(&self, place: &Path) -> Option<Vec<u8>> {
        self.folders.iter().find_map(|folder| fs::read(folder.join("../objects").join(place)).ok())
    }

    /// The bytes of a file in the folder of captures.
    pub(crate) fn capture_file(&self, name: &str) -> Result<Vec<u8>, Malformed> {
        let places =
            self.folders.iter().flat_map(|folder| [folder.join(name), folder.join("pcaps").join(name)]);
        let found = places.filter_map(|path| fs::read(path).ok()).next();
        found.ok_or(Malformed::Companion("capture"))
    }

    /// The packets of a capture.
    pub(crate) fn capture(&self, name: &str) -> Result<Arc<Packets>, Malformed> {
        let mut captures = self.captures.lock().unwrap_or_else(PoisonError::into_inner);
        let read = || Packets::read(&self.capture_file(name).ok()?).map(Arc::new);
        let found = captures.entry(name.into()).or_insert_with(read);
        found.clone().ok_or(Malformed::Companion("capture"))
    }

    /// The types of the running kernel, or of the one that `SANDBPF_BTF` names.
    pub(crate) fn kernel(&self) -> Option<&Arc<Btf>> {
        let read = || {
            let named = std::env::var_os("SANDBPF_BTF").map(PathBuf::from);
            let bytes = fs::read(named.unwrap_or_else(|| "/sys/kernel/btf/vmlinux".into())).ok()?;
            Btf::parse(&bytes).ok().map(Arc::new)
        };
        self.kernel.get_or_init(read).as_ref()
    }

    /// The object file that a record's program comes from, if it is at hand.
    pub(crate) fn object(&self, name: &str) -> Option<Arc<Object>> {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let read = || {
            let flat = name.replace('/', "__");
            let places = match name.split_once('/') {
                Some(("modern-objs", rest)) => vec![format!("selftests-annotated/{rest}")],
                Some(("progs-objs", rest)) => vec![format!("selftests-progs/{rest}")],
                _ => vec![format!("samples-patched/{flat}"), format!("samples/{name}")],
            };
            let paths = places.iter().flat_map(|place| self.folders.iter().map(move |f| f.join(place)));
            let bytes = paths.filter_map(|path| fs::read(path).ok()).next()?;
            let stem = Path::new(name).file_stem()?.to_str()?;
            let mut options = ObjectOptions::new().name(stem);
            if let Some(kernel) = self.kernel() {
                options = options.target(Arc::clone(kernel));
            }
            options.parse(&bytes).ok().map(Arc::new)
        };
        objects.entry(name.into()).or_insert_with(read).clone()
    }

    /// The record of this name in the set of this name.
    pub(crate) fn recorded(&self, set: &str, name: &str) -> Result<Record, Malformed> {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        let read = || {
            let files = self.named(|file| {
                let rest = file.strip_prefix(set);
                rest.is_some_and(|rest| rest.starts_with('.') && rest.ends_with(".ndjson"))
            });
            let texts: Vec<String> = files.filter_map(|path| fs::read_to_string(path).ok()).collect();
            let lines = texts.iter().flat_map(|text| text.lines());
            let values = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let named = values.filter_map(|value| Some((value["name"].as_str()?.to_string(), value)));
            Arc::new(named.collect::<HashMap<_, _>>())
        };
        let records = Arc::clone(recorded.entry(set.into()).or_insert_with(read));
        drop(recorded);
        records.get(name).cloned().map(Record::new).ok_or(Malformed::Companion("record of the program"))
    }

    /// Files of the folders whose names fit.
    fn named(&self, fits: impl Fn(&str) -> bool) -> impl Iterator<Item = PathBuf> {
        let entries = self.folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        entries
            .map(|entry| entry.path())
            .filter(move |path| path.file_name().and_then(|name| name.to_str()).is_some_and(&fits))
    }

    /// What stands under its name in objects of companions whose file name contains `word`.
    fn companions<T>(&self, word: &str, read: impl Fn(&Value) -> Option<T>) -> BTreeMap<String, T> {
        let beside = self.named(|name| name.contains(word) && name.ends_with(".json"));
        let given = self.files.iter().filter(|path| is_companion(path)).cloned();
        let texts = beside.chain(given).filter_map(|path| fs::read_to_string(path).ok());
        let objects = texts.filter_map(|text| serde_json::from_str::<BTreeMap<String, Value>>(&text).ok());
        let entries = objects.flatten().filter_map(|(name, value)| Some((name, read(&value)?)));
        entries.collect()
    }
}

/// Companions are one JSON object; records stand in files of lines.
fn is_companion(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
}
