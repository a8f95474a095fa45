# Makes the small files of this folder with PyTorch: run it in the folder. 1.13 made those that are here, 2.9 the rebuilt ones and unchecked.pth.
# The values are counted up, so the Go test knows them without a file. The four large files are a model's; see pth_test.go.
import argparse, collections
import numpy, torch

def views():
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    d = collections.OrderedDict()
    d["whole"] = base
    d["again"] = base
    d["rows"] = base[1:3]
    d["transposed"] = base.t()
    d["every_other"] = base[1:4:2, ::3]
    d["swapped"] = torch.arange(24, dtype=torch.float64).reshape(2, 3, 4).permute(2, 0, 1)
    d["expanded"] = torch.arange(3, dtype=torch.int64).expand(2, 3)
    d["scalar"] = torch.tensor(1.5)
    d["empty"] = torch.zeros(0, 3)
    d["ones"] = torch.arange(4, dtype=torch.float32).reshape(1, 4, 1)
    return d

def dtypes():
    names = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8".split()
    d = {n: torch.arange(1, 4).to(getattr(torch, n)) for n in names}
    d["bool"] = torch.tensor([True, False, True])
    return d

def training():
    model = torch.nn.DataParallel(torch.nn.Linear(3, 2))
    with torch.no_grad():
        model.module.weight.copy_(torch.arange(6).reshape(2, 3))
        model.module.bias.copy_(torch.arange(2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.ones(1, 3)).sum().backward()
    state = collections.OrderedDict((k, v.clone()) for k, v in model.state_dict().items())
    state._metadata = model.state_dict()._metadata
    optimizer.step()
    parameters = {"module." + k: torch.nn.Parameter(v) for k, v in [("weight", torch.ones(2, 3)), ("bias", torch.ones(2))]}
    parameters["module.bias"].note = "an attribute"
    tensor = torch.zeros(2)
    tensor.note = "an attribute"
    return {"epoch": 3, "arch": "linear", "best": numpy.float64(71.5), "random": numpy.random.RandomState(0).get_state(),
            "set": {1, 2}, "big": 1 << 100, "optimizer": optimizer.state_dict(), "state_dict": state, "other": parameters, "noted": {"t": tensor},
            "args": argparse.Namespace(lr=0.1, batch=8, name="deit", ema=True, resume=None, betas=(0.9, 0.999))}

def rebuilt():
    parameter = torch.nn.Parameter(torch.arange(2.0))
    tensor = torch.arange(3.0)
    parameter.note = tensor.note = "an attribute"
    return {"uint16": torch.arange(1, 4).to(torch.uint16), "uint32": torch.arange(1, 4).to(torch.uint32).reshape(3, 1).t(),
            "uint64": torch.arange(4).to(torch.uint64)[1:], "parameter": parameter, "tensor": tensor, "buffer": torch.nn.Buffer(torch.ones(2))}

if hasattr(torch, "uint16"):
    torch.save(rebuilt(), "rebuilt.pth")
    torch.save(rebuilt(), "rebuilt_legacy.pth", _use_new_zipfile_serialization=False)
    torch.serialization.set_crc32_options(False)
    torch.save({"w": torch.ones(2)}, "unchecked.pth")
    torch.serialization.set_crc32_options(True)

torch.save(views(), "views.pth")
torch.save(views(), "views_legacy.pth", _use_new_zipfile_serialization=False)
torch.save(views(), "views_protocol4.pth", pickle_protocol=4)
torch.save(dtypes(), "dtypes.pth")
torch.save(dtypes(), "dtypes_legacy.pth", _use_new_zipfile_serialization=False)
torch.save(training(), "training.pth")
torch.save(torch.nn.Linear(1, 1), "module.pth")
